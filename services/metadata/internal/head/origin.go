package head

import (
	"context"
	"fmt"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

// ForeignEtcdError says that answers came from two clusters of etcd: it was restored while this replica ran, or two
// stand behind its endpoints. What is in memory and what etcd has are two stories then. A person looks; a new start
// begins with what is there.
type ForeignEtcdError struct {
	// Began and Answered are etcd's ids of the clusters.
	Began, Answered uint64
}

func (e *ForeignEtcdError) Error() string {
	return fmt.Sprintf("etcd answers as cluster %016x, this replica began with cluster %016x: it was restored meanwhile, "+
		"or two clusters stand behind its endpoints", e.Answered, e.Began)
}

// origin holds a replica to the cluster of etcd that answered it first.
type origin struct {
	id      atomic.Uint64
	foreign atomic.Pointer[ForeignEtcdError]
	// broken closes when foreign is set.
	broken chan struct{}
}

func newOrigin() *origin { return &origin{broken: make(chan struct{})} }

// check refuses an answer of another cluster than the first one's. An answer that does not say passes.
// Errors: *ForeignEtcdError.
func (o *origin) check(h *etcdserverpb.ResponseHeader) error {
	id := h.GetClusterId()
	if id == 0 || o.id.CompareAndSwap(0, id) {
		return nil
	}
	began := o.id.Load()
	if began == id {
		return nil
	}
	err := &ForeignEtcdError{Began: began, Answered: id}
	if o.foreign.CompareAndSwap(nil, err) {
		close(o.broken)
	}
	return err
}

// run fails as soon as a check does; nil when ctx ends first.
func (o *origin) run(ctx context.Context) error {
	select {
	case <-o.broken:
		return o.foreign.Load()
	case <-ctx.Done():
		return nil
	}
}
