// Package volume writes payloads into volumes and reads them back. ../README.md says how, ../FORMAT.md what lies there.
//
// Constraints of the Writer (those of the Reader are in ../README.md):
//
//  1. A payload is durable, and Placed is returned, only when every member of the volume answered that it synced the
//     frame and all frames before it.
//  2. Rows are given out in order and reach each member in order; a row is never used twice. What has to move gets a new
//     address in another volume.
//  3. The first error of a member ends its volume for good: appends go on elsewhere, the volume is sealed.
//  4. A volume is sealed at the k-th largest end that its fenced members proved, never below what was acknowledged, and
//     never with fewer than k proofs.
//  5. A write that meets the sudden death of a node or a zone succeeds within 5 s: silence ends after 1 s, opening a
//     volume is bounded by 4.5 s, each chunk by 1.5 s.
//  6. Hedges are at most one in twenty appends.
//  7. What the writer writes is named by terms that it holds a lease for; without a lease it writes nothing.
//  8. Memory: uploads hold stripes of one budget, taken before their bytes are accepted. Beyond it go only batches (four
//     a scheme), tails, and stripes that have to be cut anew for a volume of another scheme. Nobody waits for it without
//     bound: an upload that could not begin is refused after 3 s, one that runs after 30 s.
//  9. Bytes of a frame are used again only when nobody reads them any more, be it a handler in this process or a
//     connection that broke.
//  10. Everything that the Writer started has ended when Run returns.
package volume
