package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Serve answers on the listeners, which it closes, until ctx ends or one fails; without listeners it waits for ctx.
// Then it stops: health says NOT_SERVING, and for Notice nothing else changes. Then connections are told to end, new calls
// in process are refused, unless they are held (Hold), Draining fires, running calls get Grace to end, the rest is
// cancelled. Serve returns when the last handler has returned: until then they use what the
// service is about to close. Only one that hangs, in a call to a disk that does not answer, is given up in the end, so
// that the process can. A server serves once. Nil after an orderly stop.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	orderly := ctx
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		group.Go(func() error {
			if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				return fmt.Errorf("serve %s on %s: %w", s.name, l.Addr(), err)
			}
			return nil
		})
	}
	group.Go(func() error {
		<-ctx.Done()
		s.serving.Store(false)
		s.health.Shutdown()
		if orderly.Err() != nil && s.notice > 0 {
			<-time.After(s.notice)
		}
		s.stop()
		return nil
	})
	return group.Wait()
}

func (s *Server) stop() {
	s.drain.begin()
	deadline := time.NewTimer(s.grace)
	defer deadline.Stop()
	graceful := make(chan struct{})
	go func() {
		defer close(graceful)
		s.grpc.GracefulStop()
	}()
	select {
	case <-graceful:
	case <-deadline.C:
		deadline.Reset(0)
		s.grpc.Stop()
		<-graceful
	}
	if left := s.drain.wait(deadline.C); left > 0 {
		s.log.Error("handlers do not end; they are left to themselves", slog.String("server", s.name), slog.Int64("handlers", left))
	}
}

// Hold keeps calls in process from being refused while the server stops, until release. It is for who makes such calls of
// requests from elsewhere, and stops by itself; Serve waits for it as for a call that runs.
func (s *Server) Hold() (release func()) { return s.drain.hold() }

// load counts operations against a bound.
type load struct {
	limit int64
	used  atomic.Int64
	gauge prometheus.Gauge
}

func newLoad(limit, fallback int, gauge prometheus.Gauge) *load {
	if limit <= 0 {
		limit = fallback
	}
	return &load{limit: int64(limit), gauge: gauge}
}

// enter counts one more operation, or refuses it.
func (l *load) enter(server string) error {
	if l.used.Add(1) <= l.limit {
		l.gauge.Inc()
		return nil
	}
	l.used.Add(-1)
	return fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED,
		"%s serves %d calls already", server, l.limit).WithRetryAfter(overloadRetryAfter)
}

func (l *load) leave() {
	l.used.Add(-1)
	l.gauge.Dec()
}

// drain lets a stopping server wait for in-process calls, which grpc.Server does not know.
type drain struct {
	begun   chan struct{}
	once    sync.Once
	idle    chan struct{}
	running atomic.Int64 // calls and holds
	holds   atomic.Int64
	// ctx ends when the grace is over; in-process streams end with it.
	ctx    context.Context
	cancel context.CancelFunc
}

func newDrain() *drain {
	ctx, cancel := context.WithCancel(context.Background())
	return &drain{begun: make(chan struct{}), idle: make(chan struct{}, 1), ctx: ctx, cancel: cancel}
}

func (d *drain) begin() { d.once.Do(func() { close(d.begun) }) }

func (d *drain) enter(server string) error {
	d.running.Add(1)
	select {
	case <-d.begun:
		if d.holds.Load() > 0 {
			return nil
		}
		d.leave()
		return fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "%s stops", server)
	default:
		return nil
	}
}

func (d *drain) hold() (release func()) {
	d.running.Add(1)
	d.holds.Add(1)
	return sync.OnceFunc(func() {
		d.holds.Add(-1)
		d.leave()
	})
}

func (d *drain) leave() {
	if d.running.Add(-1) > 0 {
		return
	}
	select {
	case d.idle <- struct{}{}:
	default:
	}
}

// abandonAfter is how long cancelled calls may take to notice.
const abandonAfter = 5 * time.Second

// wait returns when no in-process call runs; at the deadline it cancels the streams first. It answers how many calls did
// not even end then.
func (d *drain) wait(deadline <-chan time.Time) (left int64) {
	defer d.cancel()
	var abandon <-chan time.Time
	for d.running.Load() > 0 {
		select {
		case <-d.idle:
		case <-deadline:
			d.cancel()
			deadline = nil
			timer := time.NewTimer(abandonAfter)
			defer timer.Stop()
			abandon = timer.C
		case <-abandon:
			return d.running.Load()
		}
	}
	return 0
}
