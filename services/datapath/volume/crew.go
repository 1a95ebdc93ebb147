package volume

import (
	"context"
	"sync"
)

// crew runs a writer's background tasks and lets it wait for them; tasks may start tasks until all are done.
type crew struct {
	// life is what tasks run in.
	life context.Context //nolint:containedctx // see above

	mu      sync.Mutex
	running int
	closing bool
	closed  bool
	idle    chan struct{}
}

func newCrew(life context.Context) *crew { return &crew{life: life, idle: make(chan struct{})} }

// start runs a task; false when the crew is closed.
func (c *crew) start(task func(context.Context)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running++
	go func() {
		defer c.done()
		task(c.life)
	}()
	return true
}

func (c *crew) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	c.closeIdle()
}

// wait closes the crew once no task runs, and returns then.
func (c *crew) wait() {
	c.mu.Lock()
	c.closing = true
	c.closeIdle()
	c.mu.Unlock()
	<-c.idle
}

// closeIdle closes the crew if it is asked for and no task runs. mu is held.
func (c *crew) closeIdle() {
	if c.closing && !c.closed && c.running == 0 {
		c.closed = true
		close(c.idle)
	}
}
