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
	// drainTimeout bounds the wait for the rest of a body that was refused: net/http reads up to 256 KiB of it, so that
	// the client gets to see the answer.
	drainTimeout = 5 * time.Second
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
	// handlers returns when none that was called for this request runs any more.
	handlers func()
	// out carries an object's bytes through the gateway, one message at a time.
	out httpbody.HttpBody

	status         int   // 0: nothing was written yet
	received, sent int64 // bytes of the bodies
	reason         string
	open           bool // it needed no token
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
	// The request before may have left one on the connection.
	_ = x.control.SetWriteDeadline(time.Time{})
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
	_ = x.control.SetWriteDeadline(in(stallTimeout)) // Every net.Conn can.
	n, err := x.ResponseWriter.Write(p)
	if x.request.Method != http.MethodHead { // net/http swallows what answers a HEAD.
		x.sent += int64(n)
	}
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

// in is a point in time for a socket's deadline.
func in(d time.Duration) time.Time {
	return time.Now().Add(d) //nolint:forbidigo // sockets compare with the machine's own clock
}

// close gives back what the exchange holds; no handler uses it any more. What net/http still does on the connection,
// writing the rest and reading past a body that was not wanted, is bounded in time as well.
func (x *exchange) close() {
	_ = x.control.SetWriteDeadline(in(stallTimeout))
	switch {
	case x.upload != nil && x.upload.failure() != nil:
		_ = x.control.SetReadDeadline(time.Unix(1, 0)) // Nothing sensible comes any more.
	case x.upload != nil && !x.upload.ended, x.upload == nil && x.request.ContentLength != 0:
		_ = x.control.SetReadDeadline(in(drainTimeout))
	}
	if x.upload != nil {
		x.upload.release()
	}
}
