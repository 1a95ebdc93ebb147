package volume

import (
	"sync/atomic"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
)

// load is bytes that shall become durable in some volume.
type load interface {
	// lay makes the frames for a volume whose next row is row. It is called with the volume's order held; the frames
	// are sent unless it fails. Errors: errUnfit; errEmpty when there is nothing left to append.
	lay(v *openVolume, row uint64) (laid, error)
}

// laid is a load in the frames of one volume.
type laid struct {
	frames []laidFrame
	// extents are the payloads' addresses, as many as the load has parts.
	extents []*typesv1.Extent
	// after marks what a frame that carries on would carry on.
	after mark
}

// laidFrame is one frame, ready but for its place.
type laidFrame struct {
	rows     int
	requests []*chunkv1.AppendRequest
	// memory is what the requests alias; it is released when nothing reads it any more.
	memory *memory
}

// memory counts who still reads a frame's bytes.
type memory struct {
	users atomic.Int32
	// kept: somebody may read them for good, so they must not be used again.
	kept atomic.Bool
	free func(reusable bool)
}

// newMemory makes memory with one user, its maker. free is called when nobody uses it any more.
func newMemory(free func(reusable bool)) *memory {
	m := &memory{free: free}
	m.users.Store(1)
	return m
}

func (m *memory) retain(users int) { m.users.Add(int32(users)) }

func (m *memory) release() { m.done(true) }

// done is release for a user who knows whether the bytes may be used again.
func (m *memory) done(reusable bool) {
	if !reusable {
		m.kept.Store(true)
	}
	if m.users.Add(-1) == 0 {
		m.free(!m.kept.Load())
	}
}

// frameMemory is the memory of a frame alone.
func frameMemory(frame *block.Frame) *memory {
	return newMemory(func(reusable bool) {
		if reusable {
			frame.Release() // else the garbage collector has it
		}
	})
}
