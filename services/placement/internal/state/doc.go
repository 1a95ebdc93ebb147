// Package state keeps what placement owns: the cluster's id, the register of nodes, the volume map, and the terms of
// writers. etcd holds the truth under one prefix; each replica has a copy of all of it in memory, by one watch.
//
// Constraints:
//
//  1. Every write transaction puts the clock key. So the clock's mod-revision, read linearizably, says how far the
//     watch must have come before memory shows everything that was written earlier (the barrier). The keys of expired
//     leases go without it: whoever depends on a lease compares its key in the transaction.
//  2. The copy has applied what its last event's mod-revision says, never what a response's header says: a watch that
//     catches up has headers from the future.
//  3. Writes compare what they were decided on. A compare that fails waits for the watch and decides again, a bounded
//     number of times.
//  4. Volume ids are 16 bits of incarnation and 48 bits of a counter that only grows; the transaction that enters a
//     volume moves the counter. Terms are one counter, which a new incarnation moves to its own 2^48 numbers.
//  5. An error says nothing about whether the write happened. StartTerm and OpenVolume may leave a term that nobody
//     renews and an entry that nobody confirms; everything else may be called again.
//  6. A state that was counted in another cluster of etcd was restored: it gets a new incarnation before it is read.
//     After that a replica takes answers of one cluster only, and ends when another one answers.
//  7. What the package hands out belongs to the receiver, except Register, which shares and says so.
package state
