package client

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// source is a body that is read once, as it is sent. If it can be sought, a try that failed may begin again.
type source struct {
	body   io.Reader
	size   int64
	seeker io.Seeker // nil for a pipe
	start  int64
	sum    string // of the last try that sent everything
}

func newSource(body io.Reader, size int64) *source {
	s := &source{body: body, size: size}
	seeker, ok := body.(io.Seeker)
	if !ok {
		return s
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		// A pipe is a file too, and says only now that it cannot be sought.
		return s
	}
	s.seeker, s.start = seeker, start
	return s
}

// begin returns the body of one try.
func (s *source) begin() (*attempt, error) {
	if s.seeker != nil {
		if _, err := s.seeker.Seek(s.start, io.SeekStart); err != nil {
			return nil, fmt.Errorf("go back to the beginning of what is to be stored: %w", err)
		}
	}
	return &attempt{
		summer:  newSummer(s.body, s.size),
		trailer: http.Header{headerChecksum: nil},
		closed:  make(chan struct{}),
	}, nil
}

// end takes a try's outcome and says whether another may follow.
func (s *source) end(a *attempt, err error) error {
	if err != nil && s.seeker == nil {
		if a.touched.Load() {
			return &spentError{err}
		}
		return err
	}
	// The transport reads on in its own goroutine, also after an early answer, until it closes the body.
	<-a.closed
	s.sum = a.value()
	return err
}

// spentError keeps patiently from repeating a try whose body is used up.
type spentError struct{ error }

// attempt is the body of one try.
type attempt struct {
	*summer
	trailer http.Header
	touched atomic.Bool
	once    sync.Once
	closed  chan struct{}
}

// Read implements io.Reader and sets the trailer with the last byte.
func (a *attempt) Read(p []byte) (int, error) {
	a.touched.Store(true)
	n, err := a.summer.Read(p)
	if err == io.EOF { //nolint:errorlint // a reader returns it bare
		a.trailer.Set(headerChecksum, a.value())
	}
	return n, err
}

// Close implements io.Closer; the owner of the source closes it.
func (a *attempt) Close() error {
	a.once.Do(func() { close(a.closed) })
	return nil
}
