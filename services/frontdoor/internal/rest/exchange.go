package rest

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/api/httpbody"

	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/log"
)

const (
	headerRequestID         = "X-Request-Id"
	headerDrystoneRequestID = "Drystone-Request-Id"
	maxRequestID            = 64

	// stallTimeout ends a client that takes, or brings, less than a buffer of 256 KiB in this time: slower ones hold a
	// slot and memory for nothing.
	stallTimeout = 60 * time.Second
)

// exchange is one request and what became of it. It is the ResponseWriter that the gateway sees.
type exchange struct {
	http.ResponseWriter
	request *http.Request
	id      string
	op      string
	bucket  string
	key     string
	begin   time.Time
	control *http.ResponseController
	upload  *upload
	// out carries an object's bytes through the gateway, one message at a time.
	out httpbody.HttpBody

	status         int   // 0: nothing was written yet
	received, sent int64 // bytes of the bodies
	reason         string
	stall          *time.Timer
	aborted        bool
}

type exchangeKey struct{}

// exchangeOf is the exchange that ctx belongs to. All of the gateway's contexts derive from one.
func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

func newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{
		ResponseWriter: w, request: r, id: requestID(r), begin: clock.Now(), control: http.NewResponseController(w),
	}
	x.op = operation(r.Method, r.URL.Path)
	if bucket, key, ok := objectPath(r.URL.Path); ok {
		x.bucket, x.key = bucket, key
	}
	return x
}

// requestID takes the client's id if it can stand in headers and logs as it is.
func requestID(r *http.Request) string {
	id := r.Header.Get(headerRequestID)
	if id == "" || len(id) > maxRequestID {
		return log.NewCorrelation()
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return log.NewCorrelation()
		}
	}
	return id
}

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter. A client that is gone, or takes nothing, ends the handler by a panic with
// http.ErrAbortHandler, which cancels its call.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	if len(p) == 0 {
		return 0, nil
	}
	x.watch(x.control.SetWriteDeadline)
	n, err := x.ResponseWriter.Write(p)
	x.unwatch()
	x.sent += int64(n)
	if err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// FlushError keeps the gateway from flushing after each message: small answers go out in one packet, and large writes
// pass net/http's buffers anyway.
func (x *exchange) FlushError() error { return nil }

// Unwrap implements what http.ResponseController looks for.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// watch gives the client stallTimeout for the next read or write. A timer sets a deadline that has passed: socket
// deadlines are points in wall time, timers are not.
func (x *exchange) watch(setDeadline func(time.Time) error) {
	x.stall = time.AfterFunc(stallTimeout, func() { _ = setDeadline(time.Unix(1, 0)) })
}

func (x *exchange) unwatch() { x.stall.Stop() }

func (x *exchange) close() {
	if x.upload != nil {
		x.upload.release()
	}
}
