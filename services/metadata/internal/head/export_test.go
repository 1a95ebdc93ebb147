package head

import "time"

// SetTryTimeout replaces the timeouts of transactions' tries. Before Run only.
func (e *Etcd) SetTryTimeout(timeout func(try int) time.Duration) { e.submitter.timeout = timeout }
