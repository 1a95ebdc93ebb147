package rpc

import (
	"io"
	"sync"
)

// pipe hands the messages of one direction of an in-process stream over: the receiver says where the next message
// goes, the sender puts it there. So when send returns, the receiver holds the message and nothing is buffered. One
// sender and one receiver at a time, as in gRPC.
type pipe struct {
	mu sync.Mutex
	// want is where the receiver waits for a message; nil when it does not.
	want any
	// asks counts what the receiver asked for so far.
	asks int
	// err is the outcome of a hand-over, for the receiver.
	err error

	// asked wakes the sender, filled the receiver; both hold one token and may hold a stale one.
	asked, filled chan struct{}
	// closed says that the sender will send no more.
	closed    chan struct{}
	closeOnce sync.Once
}

func newPipe() *pipe {
	return &pipe{asked: make(chan struct{}, 1), filled: make(chan struct{}, 1), closed: make(chan struct{})}
}

// close ends the messages: the receiver gets io.EOF after the last one.
func (p *pipe) close() { p.closeOnce.Do(func() { close(p.closed) }) }

// tryPut gives m to a receiver that waits; false when none does.
func (p *pipe) tryPut(m any) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.want == nil {
		return false, nil
	}
	p.err = handover(p.want, m)
	p.want = nil
	wake(p.filled)
	return true, p.err
}

// askedFor says that the receiver asked for at least n messages.
func (p *pipe) askedFor(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asks >= n
}

// receive fills m with the next message. It returns io.EOF after close, and gave up as errGone when gone is closed
// first; a message that arrives at the same moment wins over both.
func (p *pipe) receive(m any, gone <-chan struct{}) error {
	p.mu.Lock()
	select {
	case <-p.filled: // stale: of a receive that gave up after its message had come
	default:
	}
	p.want = m
	p.asks++
	p.mu.Unlock()
	wake(p.asked)

	end := io.EOF
	select {
	case <-p.filled:
	case <-p.closed:
	case <-gone:
		end = errGone
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.want == nil {
		return p.err
	}
	p.want = nil
	return end
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
