package block

import "golang.org/x/sys/unix"

// adviseHuge asks for huge pages. A kernel that has none is as good, only slower.
func adviseHuge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
