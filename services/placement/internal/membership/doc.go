// Package membership knows which nodes and disks there are and how they fare. The register (which nodes exist, where,
// with which disks, and what is wrong with those) is in etcd; heartbeats, and the reports of writers, are in this
// replica's memory only, since nodes send them to every replica.
//
// Constraints:
//
//  1. A node is up while heartbeats come, suspect when they are late, down when they stay away. Time is monotonic.
//  2. A node that this replica has not heard of yet is suspect, and becomes down as late as one that fell silent: a
//     replica that has just started calls nobody down. A replica that itself stood still blames nobody for it.
//  3. etcd is written only when what others must know changes: a node, its address or place, a new disk, and disk
//     states other than full, which comes and goes.
//  4. A disk belongs to one node. A node gets another's disk only once that one is down or no longer shows it.
//  5. Reports bar disks from new volumes, at most those of one zone and of one node elsewhere: a writer that cannot
//     see the others shall not close the cluster. With fewer than three zones, those of one node.
//  6. Two reported disks bar their whole node. A bar ends after a minute of good heartbeats.
package membership
