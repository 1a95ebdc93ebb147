package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/limit"
)

// fault modes of a member; the zero value is a good one.
type ailment int

const (
	well ailment = iota
	dead
	hung
	corrupt
	wiped
	overloaded
)

// chunkName is what a chunk-server finds a chunk by.
type chunkName struct {
	volume     uint64
	generation uint32
	column     uint32
	attempt    uint32
	disk       string
}

// fakeStore is a map and chunk-servers in memory: the Reader's ReaderMap, ChunkReader and MemberHealth.
type fakeStore struct {
	mu sync.Mutex
	// entries is the truth, cached what Volume answers.
	entries, cached map[uint64]*placementv1.Volume
	chunks          map[chunkName][]byte
	ailing          map[string]ailment // by disk
	unhealthy       map[string]bool    // by node
	asked           map[string]int     // reads by disk
	rowsRead        int
	refreshes       int
	// plain is each volume's logical space.
	plain map[uint64][]byte
	// hangFrom makes every member hang at this row and beyond, 0: none.
	hangFrom uint64
	// block is closed to let hung members answer, nil: they wait for the context.
	block chan struct{}
}

func newFakeStore() *fakeStore {
	return &fakeStore{
		entries: map[uint64]*placementv1.Volume{}, cached: map[uint64]*placementv1.Volume{}, chunks: map[chunkName][]byte{},
		ailing: map[string]ailment{}, unhealthy: map[string]bool{}, asked: map[string]int{}, plain: map[uint64][]byte{},
	}
}

// disk names the home of a column; node is the same with another prefix.
func disk(volume uint64, column int) string { return fmt.Sprintf("disk-%d-%d", volume, column) }

func refOf(v *placementv1.Volume, column int) chunkName {
	m := v.GetMembers()[column]
	return chunkName{v.GetId(), v.GetGeneration(), uint32(column), m.GetAttempt(), m.GetDisk()}
}

// write makes a volume of random stripes, coded as a writer would.
func (s *fakeStore) write(tb testing.TB, id uint64, scheme erasure.Scheme, stripes int) *placementv1.Volume {
	tb.Helper()
	plain := make([]byte, stripes*scheme.K*block.Size)
	source := rand.NewChaCha8([32]byte{byte(id)})
	_, _ = source.Read(plain)
	s.plain[id] = plain
	return s.code(tb, id, scheme, 1)
}

// fataler is a testing.TB, or an example's stand-in for one.
type fataler interface{ Fatal(args ...any) }

type exampleTB struct{}

func (exampleTB) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// code writes the chunks of a generation from the plain bytes and makes it the volume's entry.
func (s *fakeStore) code(tb fataler, id uint64, scheme erasure.Scheme, generation uint32) *placementv1.Volume {
	plain := s.plain[id]
	v := &placementv1.Volume{
		Id: id, State: placementv1.VolumeState_VOLUME_STATE_SEALED, Scheme: scheme.Proto(), Generation: generation,
		Revision: int64(generation),
	}
	for c := range scheme.N() {
		v.Members = append(v.Members, &placementv1.Member{
			Disk: disk(id, c), Node: "node-" + disk(id, c), Attempt: uint32(c) + 100*generation,
		})
	}
	code, err := erasure.NewCode(scheme)
	if err != nil {
		tb.Fatal(err)
	}
	width := scheme.K * block.Size
	stripes := (len(plain) + width - 1) / width
	columns := make([][]byte, scheme.N())
	for c := range columns {
		columns[c] = make([]byte, stripes*block.Size)
		for stripe := range stripes {
			if at := (stripe*scheme.K + c) * block.Size; c < scheme.K && at < len(plain) {
				copy(columns[c][stripe*block.Size:][:block.Size], plain[at:])
			}
		}
	}
	if err := code.Encode(columns); err != nil {
		tb.Fatal(err)
	}
	for c, column := range columns {
		s.chunks[refOf(v, c)] = column
	}
	s.entries[id], s.cached[id] = v, v
	return v
}

func (s *fakeStore) Volume(_ context.Context, id uint64) (*placementv1.Volume, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entry(s.cached, id)
}

func (s *fakeStore) Refresh(_ context.Context, id uint64) (*placementv1.Volume, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshes++
	s.cached[id] = s.entries[id]
	return s.entry(s.entries, id)
}

func (s *fakeStore) entry(entries map[uint64]*placementv1.Volume, id uint64) (*placementv1.Volume, error) {
	if v := entries[id]; v != nil {
		return v, nil
	}
	return nil, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_VOLUME, "volume %d", id)
}

func (s *fakeStore) Healthy(m *placementv1.Member) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.unhealthy[m.GetNode()]
}

func (s *fakeStore) Read(
	ctx context.Context, m *placementv1.Member, ref *chunkv1.ChunkRef, row uint64, dst []byte,
) ([]byte, error) {
	rows := dst[cap(dst)-len(dst) : cap(dst)] // as far back as they may lie
	return rows, s.read(ctx, m, ref, row, rows)
}

func (s *fakeStore) read(
	ctx context.Context, m *placementv1.Member, ref *chunkv1.ChunkRef, row uint64, dst []byte,
) error {
	s.mu.Lock()
	ailing := s.ailing[m.GetDisk()]
	s.asked[m.GetDisk()]++
	s.rowsRead += len(dst)
	entry := s.entries[ref.GetVolume()]
	if s.hangFrom > 0 && row >= s.hangFrom {
		ailing = hung
	}
	column, ok := s.chunks[chunkName{ref.GetVolume(), ref.GetGeneration(), ref.GetColumn(), ref.GetAttempt(), ref.GetDisk()}]
	s.mu.Unlock()
	if len(dst) == 0 || row/block.Size != (row+uint64(len(dst))-1)/block.Size || ref.GetDisk() != m.GetDisk() {
		return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_ARGUMENT, "%d rows at %d", len(dst), row)
	}
	switch ailing {
	case dead:
		return fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "connection refused")
	case corrupt:
		fill(dst, 0xee)
		return fault.New(codes.DataLoss, typesv1.Reason_REASON_CHUNK_CORRUPT, "checksum")
	case wiped:
		return fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_CHUNK, "no chunk")
	case overloaded:
		return fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED, "queue is full")
	case hung:
		fill(dst, 0xdd) // a half-done answer
		select {
		case <-s.block:
		case <-ctx.Done():
			return fault.FromContext(ctx.Err())
		}
	case well:
	}
	if !ok {
		if entry != nil && entry.GetGeneration() != ref.GetGeneration() {
			return fault.New(codes.FailedPrecondition, typesv1.Reason_REASON_CHUNK_STALE, "generation %d", ref.GetGeneration())
		}
		return fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_CHUNK, "attempt %d", ref.GetAttempt())
	}
	if row+uint64(len(dst)) > uint64(len(column)) {
		return fault.New(codes.OutOfRange, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE, "%d rows at %d", len(dst), row)
	}
	copy(dst, column[row:])
	return nil
}

func fill(b []byte, with byte) {
	for i := range b {
		b[i] = with
	}
}

func (s *fakeStore) ail(how ailment, volume uint64, columns ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range columns {
		s.ailing[disk(volume, c)] = how
	}
}

func (s *fakeStore) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.ailing)
}

func (s *fakeStore) reads(volume uint64, column int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[disk(volume, column)]
}

// change replaces the truth about a volume by a changed copy; what is cached stays.
func (s *fakeStore) change(id uint64, f func(v *placementv1.Volume)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := proto.CloneOf(s.entries[id])
	f(v)
	s.entries[id] = v
}

// expect is the plain bytes of extents.
func (s *fakeStore) expect(extents ...*typesv1.Extent) []byte {
	var out []byte
	for _, e := range extents {
		for at, left := e.GetOffset(), e.GetLength(); left > 0; at += block.Size {
			n := min(uint64(e.GetRun()), left)
			out = append(out, s.plain[e.GetVolume()][at:at+n]...)
			left -= n
		}
	}
	return out
}

// bench is a Reader over a fake store, with what a test looks at.
type readerBench struct {
	*Reader
	store  *fakeStore
	pool   *block.Pool
	memory *limit.Bytes
}

const testMemory = 256 << 20

func newReaderBench(tb testing.TB, store *fakeStore, budget int64, change ...func(*ReaderOptions)) *readerBench {
	tb.Helper()
	memory, err := limit.NewBytes(limit.BytesOptions{Name: "reads", Budget: budget})
	if err != nil {
		tb.Fatal(err)
	}
	o := ReaderOptions{Memory: memory, Pool: new(block.Pool), Health: store}
	for _, f := range change {
		f(&o)
	}
	r, err := NewReader(store, store, o)
	if err != nil {
		tb.Fatal(err)
	}
	return &readerBench{Reader: r, store: store, pool: o.Pool, memory: memory}
}

// read collects what a Read emits, and checks that it gave everything back.
func (b *readerBench) read(ctx context.Context, extents []*typesv1.Extent, offset, length int64) ([]byte, error) {
	var out []byte
	err := b.Read(ctx, extents, offset, length, func(p []byte) error {
		out = append(out, p...)
		return nil
	})
	return out, errors.Join(err, b.leaks())
}

// expect reads and compares on the way.
func (b *readerBench) expect(ctx context.Context, extents []*typesv1.Extent, offset int64, want []byte) error {
	at := 0
	err := b.Read(ctx, extents, offset, int64(len(want)), func(p []byte) error {
		if len(p) == 0 || len(p) > block.Size || len(p) > len(want)-at || !bytes.Equal(p, want[at:at+len(p)]) {
			return fmt.Errorf("%d bytes at %d differ", len(p), at)
		}
		at += len(p)
		return nil
	})
	if err == nil && at != len(want) {
		err = fmt.Errorf("ended after %d of %d bytes", at, len(want))
	}
	return errors.Join(err, b.leaks())
}

// leaks says what a read that has ended still holds.
func (b *readerBench) leaks() error {
	if n := b.pool.Outstanding(); n != 0 {
		return fmt.Errorf("%d buffers leaked", n)
	}
	if !b.memory.TryAcquire(b.memory.Budget()) {
		return errors.New("memory leaked")
	}
	b.memory.Release(b.memory.Budget())
	return nil
}

// contiguous is an extent of whole blocks' logical range.
func contiguous(volume, offset, length uint64) *typesv1.Extent {
	return &typesv1.Extent{Volume: volume, Offset: offset, Length: length, Run: block.Size}
}
