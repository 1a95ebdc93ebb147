// Package names is what buckets, objects and versions mean: rules over the rows of package head.
//
// Constraints; tests cite the numbers:
//
//  1. Bucket names are global. A bucket's id is never used again, not even after a restore of an old head: ids are random
//     64-bit numbers, and the row that takes one stays for ever.
//  2. A version is committed only into an open bucket of the id that the caller means: the bucket's row is compared.
//  3. A bucket is removed only if nothing lives in it at a state that no later commit can join: closing its row makes
//     every commit planned before fail.
//  4. A closing bucket does not stay: after closingPatience, whoever meets it reopens it, or closes it anew to remove it.
//  5. A key's versions rise, whatever clocks do; the current row is the highest.
//  6. A commit whose extents carry a term below its writer's floor is refused from the floor's raising on.
//  7. A page of a list is one state, costs what it returns, and its `next` goes on exactly behind it.
package names
