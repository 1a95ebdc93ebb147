// Package policy decides where the columns of a volume go. It is pure: every answer follows from an immutable
// Topology, a scheme and a seed, so that whoever asks twice gets the same answer and tests need no cluster.
//
// Rules, numbered because tests and the README name them:
//
//  1. The columns of a volume lie on distinct disks.
//  2. They are spread over zones first, then over racks, then over nodes, each as evenly as the topology allows,
//     so the widest zone, rack and node are as small as they can be, in this order.
//  3. A disk that is full, read-only, failed, missing or barred, or whose node is not up, gets no column.
//  4. Among places that are equally good, free bytes weigh, and of two drawn the disk with fewer chunks wins.
//  5. Data and parity columns each spread like the whole: no zone or disk is made for parity.
//  6. What Pick chose, Check accepts on the same topology.
package policy
