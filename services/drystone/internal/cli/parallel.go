package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/sync/errgroup"
)

const (
	// Objects that a recursive command works on at a time: small ones then share stripes and syncs in the front-door.
	parallelism = 16
	// After this many failures a recursive command gives up: something is wrong with more than a few objects.
	maxFailures = 10
)

// inParallel works on every item, a few at a time. One that fails does not stop the others, unless too many do; an
// error of the sequence itself ends the work. It returns when all work has ended.
func inParallel[T any](ctx context.Context, items iter.Seq2[T, error], work func(context.Context, T) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelism)
	var failed failures
	var listing error
	for item, err := range items {
		if err != nil {
			listing = err
			break
		}
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			err := work(ctx, item)
			if err == nil {
				return nil
			}
			return failed.add(err)
		})
	}
	if err := group.Wait(); err != nil && len(failed.errs) == 0 {
		return err
	}
	return errors.Join(failed.join(), listing)
}

type failures struct {
	mu   sync.Mutex
	errs []error
}

// add returns an error when there are too many.
func (f *failures) add(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.errs) < maxFailures {
		f.errs = append(f.errs, err)
	}
	if len(f.errs) == maxFailures {
		return errors.New("too many failures")
	}
	return nil
}

func (f *failures) join() error {
	switch n := len(f.errs); n {
	case 0:
		return nil
	case 1:
		return f.errs[0]
	case maxFailures:
		return fmt.Errorf("gave up after %d failures:\n%w", n, errors.Join(f.errs...))
	default:
		return fmt.Errorf("%d failures:\n%w", n, errors.Join(f.errs...))
	}
}
