// Package head is the index of names: an ordered map of rows that is linearizable on every replica.
//
// Two implementations pass one contract (headtest.Run): Etcd, which keeps the rows in etcd and a copy of all of them in
// memory, and Memory, the same table without etcd.
//
// Constraints; tests cite the numbers:
//
//  1. A read sees every write that was answered before the read began, on any replica (Index.Read: a barrier).
//  2. One call of Read or Peek sees one state: whole transactions, never half of one.
//  3. A write applies only on the state that its plan was made from: every row it puts or drops, and every row its
//     guards name, is compared. Nothing that is compared ever goes back to an earlier value (5).
//  4. Of all tries of one write, through any replicas, at most one applies; a try after that is answered with the
//     outcome of the one that did, or with OUTCOME_UNKNOWN, never with a second application.
//  5. Rows vanish (purges, drops) only in transactions that also put the epoch, which every transaction compares: a
//     transaction that compared a row's absence cannot apply after the row came and went.
//  6. A refusal, and a plan that changes nothing, is answered only if it still stands after a barrier.
//  7. A write whose caller has left is not submitted any more.
//  8. No result is "not applied" while a transaction that could still apply it is on its way.
//  9. A replica takes answers of one cluster of etcd, the first that answered it: it ends when another one answers.
package head
