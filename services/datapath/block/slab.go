package block

import "unsafe"

const (
	// slabBlocks is how many buffers of a block are made at a time.
	slabBlocks = 4
	// hugePage is what the kernel maps as one page if it is asked to, on the processors that we run on.
	hugePage = 2 << 20
)

// newSlab makes memory for slabBlocks buffers of a block in whole huge pages. Every byte of a large object goes through
// such buffers several times; with small pages, finding the pages costs a sixth of all the work of a write.
func newSlab() []byte {
	b := make([]byte, slabBlocks*Size+hugePage)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (hugePage - 1) //nolint:gosec // an address, only looked at
	b = b[skip : skip+slabBlocks*Size : skip+slabBlocks*Size]
	adviseHuge(b)
	return b
}
