// Package origin holds a process to one cluster of etcd: the first that answered it.
package origin

import (
	"fmt"
	"sync/atomic"
)

// ForeignError says that answers came from two clusters of etcd: it was restored while this replica ran, or two stand
// behind its endpoints. What is in memory and what etcd has are two stories then. A person looks; a new start begins with
// what is there.
type ForeignError struct {
	// Began and Answered are etcd's ids of the clusters.
	Began, Answered uint64
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("etcd answers as cluster %016x, this replica began with cluster %016x: it was restored meanwhile, "+
		"or two clusters stand behind its endpoints", e.Answered, e.Began)
}

// Origin is the cluster that answered first. It is safe for concurrent use.
type Origin struct {
	id      atomic.Uint64
	foreign atomic.Pointer[ForeignError]
	broken  chan struct{}
}

// New is held to no cluster yet.
func New() *Origin { return &Origin{broken: make(chan struct{})} }

// Check refuses an answer of another cluster than the first one's; id is the ClusterId of its header. An answer that does
// not say, 0, passes. Errors: *ForeignError.
func (o *Origin) Check(id uint64) error {
	if id == 0 || o.id.CompareAndSwap(0, id) {
		return nil
	}
	began := o.id.Load()
	if began == id {
		return nil
	}
	err := &ForeignError{Began: began, Answered: id}
	if o.foreign.CompareAndSwap(nil, err) {
		close(o.broken)
	}
	return err
}

// Broken closes when Check finds another cluster.
func (o *Origin) Broken() <-chan struct{} { return o.broken }

// Err is what Check found first. Errors: *ForeignError.
func (o *Origin) Err() error {
	if found := o.foreign.Load(); found != nil {
		return found
	}
	return nil
}
