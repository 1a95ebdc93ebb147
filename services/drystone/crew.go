package drystone

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// crew runs the services of the process, each under a context of its own, so that they can be ended one after the
// other. It is used from one goroutine.
type crew struct {
	ctx     context.Context //nolint:containedctx // the services' values; each service's life is its member's
	members []*member
	// ended gets each member that ended while nobody had asked it to.
	ended chan *member
}

// member is one running service.
type member struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

// newCrew makes an empty crew. The values of ctx reach the services; its end does not: stop ends them.
func newCrew(ctx context.Context, most int) *crew {
	return &crew{ctx: context.WithoutCancel(ctx), ended: make(chan *member, most)}
}

// start runs a service until stop names it.
func (c *crew) start(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(c.ctx)
	m := &member{name: name, cancel: cancel, done: make(chan struct{})}
	c.members = append(c.members, m)
	go func() {
		defer close(m.done)
		m.err = run(ctx)
		if ctx.Err() == nil {
			c.ended <- m
		}
	}()
}

// failure describes a member that ended unasked.
func (m *member) failure() error {
	<-m.done
	if m.err == nil {
		return fmt.Errorf("%s ended by itself", m.name)
	}
	return fmt.Errorf("%s: %w", m.name, m.err)
}

// forget drops a member that has ended from those that stop waits for.
func (c *crew) forget(m *member) {
	c.members = slices.DeleteFunc(c.members, func(other *member) bool { return other == m })
}

// stop ends the members that match, all at once, and returns when they have ended or ctx has. A member that does not
// end in time is left behind with an error: the process is about to end anyway.
func (c *crew) stop(ctx context.Context, match func(name string) bool) error {
	var mine, others []*member
	for _, m := range c.members {
		if match(m.name) {
			m.cancel()
			mine = append(mine, m)
		} else {
			others = append(others, m)
		}
	}
	c.members = others
	var errs []error
	for _, m := range mine {
		select {
		case <-m.done:
			if m.err != nil && !errors.Is(m.err, context.Canceled) {
				errs = append(errs, fmt.Errorf("stop %s: %w", m.name, m.err))
			}
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("stop %s: %w", m.name, ctx.Err()))
		}
	}
	return errors.Join(errs...)
}
