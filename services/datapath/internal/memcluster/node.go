package memcluster

import (
	"bytes"
	"context"
	"hash/crc32"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// Faults are what can be wrong with a node.
type Faults struct {
	// Delay is how long each append takes to be durable.
	Delay time.Duration
	// Silent: frames are taken and never answered, calls hang.
	Silent bool
	// Dead: every call and stream fails.
	Dead bool
	// Torn: the node dies at the next frame, after half of it was written.
	Torn bool
	// Stall is how much longer than Delay some frames take.
	Stall func(*chunkv1.AppendRequest) time.Duration
	// Append refuses frames with what it returns.
	Append func(*chunkv1.AppendRequest) error
	// Stream refuses append streams with what it returns.
	Stream func() error
	// CreateDelay is how long a chunk takes to be created.
	CreateDelay time.Duration
	// Forget: appended bytes are checked but not kept.
	Forget bool
	// Create refuses new chunks with what it returns.
	Create func(*chunkv1.CreateChunkRequest) error
}

// Node is a chunk-server with one disk.
type Node struct {
	chunkv1.UnimplementedChunkServiceServer

	Zone, Name, Disk string

	mu     sync.Mutex
	faults Faults
	// killed is closed when the node dies.
	killed chan struct{}
	chunks map[Key]*Chunk
	frames int
}

// Key names a chunk.
type Key struct {
	Volume     uint64
	Generation uint32
	Column     uint32
	Attempt    uint32
}

// Chunk is what a node keeps of a column.
type Chunk struct {
	K, M   uint32
	Frames []Frame
	// End is the rows of all frames; Rows are their bytes, in copies only.
	End  uint64
	Rows []byte
	// Refused: an append was refused, so all later ones are.
	Refused, Fenced, Sealed bool
	Length                  uint64
}

// Frame is one append that is durable.
type Frame struct {
	Row          uint64
	Rows         uint32
	Stored       int
	Synced       uint64
	Continuation bool

	data []byte
}

func newNode(zone, name string) *Node {
	return &Node{Zone: zone, Name: name, Disk: name + "-d0", killed: make(chan struct{}), chunks: make(map[Key]*Chunk)}
}

// Set changes what is wrong with the node.
func (n *Node) Set(change func(*Faults)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	dead := n.faults.Dead
	change(&n.faults)
	if n.faults.Dead && !dead {
		n.die()
	}
}

// Kill makes the node die: its streams break, nothing is answered any more. What it had answered it keeps.
func (n *Node) Kill() { n.Set(func(f *Faults) { f.Dead = true }) }

// Revive starts the node again. Its open chunks are fenced, as a chunk-server's are after a restart.
func (n *Node) Revive() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = Faults{}
	for _, c := range n.chunks {
		c.Fenced = true
	}
}

// Restart is Revive for a node that is dead; another one only loses its faults.
func (n *Node) Restart() {
	n.mu.Lock()
	dead := n.faults.Dead
	delay := n.faults.Delay
	n.mu.Unlock()
	if dead {
		n.Revive()
	}
	n.Set(func(f *Faults) { *f = Faults{Delay: delay} })
}

// die breaks all streams. mu is held.
func (n *Node) die() {
	n.faults.Dead = true
	close(n.killed)
	n.killed = make(chan struct{})
}

// Frames counts the frames with bytes that were made durable.
func (n *Node) Frames() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.frames
}

// Chunk is a copy of what the node keeps of a chunk; false if it has none.
func (n *Node) Chunk(key Key) (Chunk, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, ok := n.chunks[key]
	if !ok {
		return Chunk{}, false
	}
	clone := *c
	clone.Frames = append([]Frame(nil), c.Frames...)
	clone.Rows = c.rows(0, c.End)
	return clone, true
}

// rows copies bytes out of the frames.
func (c *Chunk) rows(from, to uint64) []byte {
	out := make([]byte, to-from)
	for _, f := range c.Frames {
		end := f.Row + uint64(len(f.data))
		if f.Row >= to || end <= from {
			continue
		}
		at := max(f.Row, from)
		copy(out[at-from:], f.data[at-f.Row:])
	}
	return out
}

func keyOf(ref *chunkv1.ChunkRef) Key {
	return Key{Volume: ref.GetVolume(), Generation: ref.GetGeneration(), Column: ref.GetColumn(), Attempt: ref.GetAttempt()}
}

func (n *Node) dead() error {
	return fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "%s is dead", n.Name)
}

// enter waits while the node is silent and takes the lock.
func (n *Node) enter(ctx context.Context) error {
	n.mu.Lock()
	if n.faults.Silent {
		n.mu.Unlock()
		<-ctx.Done()
		return fault.FromContext(ctx.Err())
	}
	if n.faults.Dead {
		n.mu.Unlock()
		return n.dead()
	}
	return nil
}

func (n *Node) find(ref *chunkv1.ChunkRef) (*Chunk, error) {
	if ref.GetDisk() != n.Disk {
		return nil, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_DISK, "no disk %q", ref.GetDisk())
	}
	c := n.chunks[keyOf(ref)]
	if c == nil {
		return nil, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_CHUNK, "no such chunk")
	}
	return c, nil
}

// CreateChunk makes an empty chunk.
func (n *Node) CreateChunk(ctx context.Context, r *chunkv1.CreateChunkRequest) (*chunkv1.CreateChunkResponse, error) {
	n.mu.Lock()
	timer := time.NewTimer(n.faults.CreateDelay)
	n.mu.Unlock()
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, fault.FromContext(ctx.Err())
	}
	if err := n.enter(ctx); err != nil {
		return nil, err
	}
	defer n.mu.Unlock()
	if n.faults.Create != nil {
		if err := n.faults.Create(r); err != nil {
			return nil, err
		}
	}
	if r.GetClusterId() != ClusterID || r.GetCapacity() == 0 || r.GetCapacity()%block.Size != 0 {
		return nil, fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_CLUSTER_MISMATCH,
			"cluster %q, capacity %d", r.GetClusterId(), r.GetCapacity())
	}
	if c := n.chunks[keyOf(r.GetChunk())]; c != nil && len(c.Frames) > 0 {
		return nil, fault.New(codes.AlreadyExists, typesv1.Reason_REASON_CHUNK_EXISTS, "it exists")
	}
	n.chunks[keyOf(r.GetChunk())] = &Chunk{K: r.GetK(), M: r.GetM()}
	return &chunkv1.CreateChunkResponse{}, nil
}

// ReadChunk reads rows, straight into the caller's buffer when one is lent.
func (n *Node) ReadChunk(ctx context.Context, r *chunkv1.ReadChunkRequest) (*chunkv1.ReadChunkResponse, error) {
	if err := n.enter(ctx); err != nil {
		return nil, err
	}
	defer n.mu.Unlock()
	c, err := n.find(r.GetChunk())
	if err != nil {
		return nil, err
	}
	end := r.GetRow() + uint64(r.GetRows())
	if end > c.End {
		return nil, fault.New(codes.OutOfRange, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE, "rows beyond the end")
	}
	rows := c.rows(r.GetRow(), end)
	rows = rows[:block.TrimZeros(rows)]
	data := rpc.Buffer(ctx)
	if len(data) < len(rows) {
		data = make([]byte, len(rows))
	}
	data = data[:copy(data, rows)]
	const granule = 4096
	return &chunkv1.ReadChunkResponse{Granule: granule, Crcs: block.Checksums(data, 12), Data: data}, nil
}

// FenceChunk ends appends.
func (n *Node) FenceChunk(ctx context.Context, r *chunkv1.FenceChunkRequest) (*chunkv1.FenceChunkResponse, error) {
	if err := n.enter(ctx); err != nil {
		return nil, err
	}
	defer n.mu.Unlock()
	c, err := n.find(r.GetChunk())
	if err != nil {
		return nil, err
	}
	c.Fenced = true
	return &chunkv1.FenceChunkResponse{EndRow: c.End}, nil
}

// SealChunk writes a footer.
func (n *Node) SealChunk(ctx context.Context, r *chunkv1.SealChunkRequest) (*chunkv1.SealChunkResponse, error) {
	if err := n.enter(ctx); err != nil {
		return nil, err
	}
	defer n.mu.Unlock()
	c, err := n.find(r.GetChunk())
	if err != nil {
		return nil, err
	}
	if c.End < r.GetLength() {
		return nil, fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_ROW_MISMATCH, "the chunk is shorter")
	}
	c.Fenced, c.Sealed, c.Length = true, true, r.GetLength()
	return &chunkv1.SealChunkResponse{}, nil
}

// StatChunk describes a chunk.
func (n *Node) StatChunk(ctx context.Context, r *chunkv1.StatChunkRequest) (*chunkv1.StatChunkResponse, error) {
	if err := n.enter(ctx); err != nil {
		return nil, err
	}
	defer n.mu.Unlock()
	c, err := n.find(r.GetChunk())
	if err != nil {
		return nil, err
	}
	return &chunkv1.StatChunkResponse{Info: &chunkv1.ChunkInfo{Chunk: r.GetChunk(), EndRow: c.End, K: c.K, M: c.M}}, nil
}

// apply makes a frame durable, or says why not. mu is held.
func (n *Node) apply(r *chunkv1.AppendRequest) error {
	c, err := n.find(r.GetChunk())
	if err != nil {
		return err
	}
	if n.faults.Append != nil {
		err = n.faults.Append(r)
	}
	if err == nil {
		err = c.check(r)
	}
	if err != nil {
		c.Refused = true
		return err
	}
	f := Frame{
		Row: r.GetRow(), Rows: r.GetRows(), Stored: len(r.GetData()), Synced: r.GetSyncedRow(), Continuation: r.GetContinuation(),
	}
	if !n.faults.Forget {
		f.data = bytes.Clone(r.GetData())
	}
	c.Frames = append(c.Frames, f)
	c.End += uint64(r.GetRows())
	if len(r.GetData()) > 0 {
		n.frames++
	}
	return nil
}

func (c *Chunk) check(r *chunkv1.AppendRequest) error {
	table := crc32.MakeTable(crc32.Castagnoli)
	switch end := c.End; {
	case c.Fenced:
		return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_CHUNK_FENCED, "fenced at %d", end)
	case c.Refused || r.GetRow() != end || r.GetSyncedRow() > end:
		return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_ROW_MISMATCH, "row %d, end %d", r.GetRow(), end)
	case r.GetRows() == 0 || int(r.GetRows()) > block.Room(r.GetRow()) || len(r.GetData()) > int(r.GetRows()):
		return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT, "%d rows at %d", r.GetRows(), r.GetRow())
	}
	granule := 1 << r.GetGranuleLog2()
	data := r.GetData()
	for _, want := range r.GetCrcs() {
		piece := data[:min(granule, len(data))]
		if crc32.Checksum(piece, table) != want {
			return fault.New(codes.DataLoss, typesv1.Reason_REASON_CHUNK_CORRUPT, "bytes do not match their checksum")
		}
		data = data[len(piece):]
	}
	if len(data) > 0 {
		return fault.New(codes.DataLoss, typesv1.Reason_REASON_CHUNK_CORRUPT, "bytes without a checksum")
	}
	return nil
}
