package disk

import "sync"

// tasks runs a disk's work that nobody waits for, one after the other.
type tasks struct {
	mu     sync.Mutex
	queue  chan func()
	closed bool
	done   sync.WaitGroup
}

func newTasks() *tasks {
	t := &tasks{queue: make(chan func(), backgroundTasks)}
	t.done.Go(func() {
		for task := range t.queue {
			task()
		}
	})
	return t
}

// add takes a task; false when too many wait, or the disk closes.
func (t *tasks) add(task func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	select {
	case t.queue <- task:
		return true
	default:
		return false
	}
}

// stop waits for the tasks that were taken.
func (t *tasks) stop() {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		close(t.queue)
	}
	t.mu.Unlock()
	t.done.Wait()
}
