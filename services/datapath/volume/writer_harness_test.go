package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/internal/memcluster"
	"github.com/drystone-store/drystone/services/datapath/nodes"
	"github.com/drystone-store/drystone/services/datapath/peers"
)

var rs54 = erasure.Scheme{K: 5, M: 4}

// harness is a writer over a cluster in memory.
type harness struct {
	t       testing.TB
	cluster *memcluster.Cluster
	writer  *Writer
	peers   *peers.Peers
	stop    func()

	mu     sync.Mutex
	placed []placement
	// columns caches what members keep, once the writer has stopped.
	columns map[columnKey]memcluster.Chunk
}

type columnKey struct {
	volume uint64
	column int
}

// placement is a payload and where the writer said that it is.
type placement struct {
	placed  Placed
	payload []byte
}

type harnessOptions struct {
	cluster memcluster.Options
	config  WriterConfig
	before  func(*memcluster.Cluster)
}

// testLog is silent unless DRYSTONE_TEST_LOG is set.
func testLog() *slog.Logger {
	if os.Getenv("DRYSTONE_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func newHarness(tb testing.TB, o harnessOptions) *harness {
	tb.Helper()
	if o.cluster.Zones == 0 {
		o.cluster.Zones, o.cluster.NodesPerZone = 3, 3
	}
	if o.config.Name == "" {
		o.config.Name = "writer-test"
	}
	log := testLog()
	c := memcluster.New(o.cluster)
	if o.before != nil {
		o.before(c)
	}
	placed, err := nodes.DialPlacement(c.Dialer, []string{memcluster.PlacementTarget})
	if err != nil {
		tb.Fatal(err)
	}
	topology := nodes.NewTopology(placed.Client(), log)
	known, err := peers.New(peers.Options{Topology: topology, Dialer: c.Dialer, Log: log})
	if err != nil {
		tb.Fatal(err)
	}
	w, err := NewWriter(o.config, WriterDeps{Placement: placed.Client(), Peers: known, Topology: topology, Log: log})
	if err != nil {
		tb.Fatal(err)
	}
	// The writer stops first: it seals, for which it needs the others.
	outer, stopOuter := context.WithCancel(context.Background())
	inner, stopInner := context.WithCancel(context.Background())
	var running, writing sync.WaitGroup
	running.Go(func() { check(tb, topology.Run(outer)) })
	running.Go(func() { check(tb, known.Run(outer)) })
	writing.Go(func() { check(tb, w.Run(inner)) })
	h := &harness{t: tb, cluster: c, writer: w, peers: known, columns: make(map[columnKey]memcluster.Chunk)}
	var once sync.Once
	h.stop = func() {
		once.Do(func() {
			stopInner()
			writing.Wait()
			stopOuter()
			running.Wait()
			check(tb, placed.Close())
		})
	}
	if err := topology.WaitReady(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return h
}

func check(tb testing.TB, err error) {
	if err != nil {
		tb.Error(err)
	}
}

// header is one of an object named by its payload.
func header(key string) *typesv1.RecordHeader {
	return &typesv1.RecordHeader{
		Tenant: "t", BucketId: 7, Bucket: "b", Key: key, WriteId: []byte("0123456789abcdef"), ContentType: "text/plain",
	}
}

func checksumOf(n uint64) *typesv1.Checksum {
	return &typesv1.Checksum{Kind: typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME, Value: fmt.Appendf(nil, "%08d", n%1e8)}
}

// randomBytes are never all zeros at the end, so that trimming cannot hide a mistake, but for a few that are.
func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		v := r.Uint64()
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	if n > 100 && r.IntN(8) == 0 {
		clear(b[n/2:])
	}
	return b
}

// pack packs and remembers what came of it.
func (h *harness) pack(ctx context.Context, scheme erasure.Scheme, payload []byte) error {
	placed, err := h.writer.Pack(ctx, scheme, header(strconv.Itoa(len(payload))), payload)
	if err != nil {
		return err
	}
	h.remember(placed, payload)
	return nil
}

// stream streams in writes of the given size and remembers what came of it.
func (h *harness) stream(ctx context.Context, scheme erasure.Scheme, payload []byte, write int, announce bool) error {
	hd := header(strconv.Itoa(len(payload)))
	if announce {
		hd.ObjectSize = uint64(len(payload))
	}
	s, err := h.writer.Stream(ctx, scheme, hd)
	if err != nil {
		return err
	}
	defer s.Abort()
	for rest := payload; len(rest) > 0; {
		n := min(write, len(rest))
		if _, err := s.Write(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	placed, err := s.Finish(ctx, checksumOf(uint64(len(payload))))
	if err != nil {
		return err
	}
	h.remember(placed, payload)
	return nil
}

func (h *harness) remember(placed Placed, payload []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.placed = append(h.placed, placement{placed: placed, payload: payload})
}

// column is what the member of a column keeps.
func (h *harness) column(v *placementv1.Volume, column int) memcluster.Chunk {
	h.t.Helper()
	key := columnKey{v.GetId(), column}
	if c, ok := h.columns[key]; ok {
		return c
	}
	m := v.GetMembers()[column]
	c, ok := h.cluster.Node(m.GetNode()).Chunk(memcluster.Key{
		Volume: v.GetId(), Generation: v.GetGeneration(), Column: uint32(column), Attempt: m.GetAttempt(),
	})
	if !ok {
		h.t.Fatalf("volume %#x has no chunk of column %d on %s", v.GetId(), column, m.GetNode())
	}
	h.columns[key] = c
	return c
}

// read reads an extent with m columns of its volume missing.
func (h *harness) read(e *typesv1.Extent, r *rand.Rand) []byte {
	h.t.Helper()
	v := h.cluster.Placement.Volume(e.GetVolume())
	if v == nil {
		h.t.Fatalf("extent %v names no volume", e)
	}
	scheme, err := erasure.FromProto(v.GetScheme())
	if err != nil {
		h.t.Fatal(err)
	}
	code, err := erasure.NewCode(scheme)
	if err != nil {
		h.t.Fatal(err)
	}
	columns := make([][]byte, scheme.N())
	for c := range columns {
		columns[c] = h.column(v, c).Rows
	}
	lost := r.Perm(scheme.N())[:scheme.M]
	out := make([]byte, 0, e.GetLength())
	for piece := range block.Pieces(e, scheme.K, 0, e.GetLength()) {
		shards := make([][]byte, scheme.N())
		for c, rows := range columns {
			if end := piece.Row + uint64(piece.Length); uint64(len(rows)) >= end {
				shards[c] = rows[piece.Row:end]
			}
		}
		for _, c := range lost {
			shards[c] = nil
		}
		if err := code.Reconstruct(shards, []int{piece.Column}); err != nil {
			h.t.Fatalf("extent %v, row %d: %v", e, piece.Row, err)
		}
		out = append(out, shards[piece.Column]...)
	}
	return out
}

// verify checks everything that was placed, and all volumes, once the writer has stopped.
func (h *harness) verify(r *rand.Rand) {
	h.t.Helper()
	taken := make(map[uint64]map[uint64]bool) // by volume: addresses of first bytes
	for _, p := range h.placed {
		extents := p.placed.Extents
		if p.placed.ExtentList != nil {
			extents = h.list(p.placed.ExtentList, r)
		}
		var got []byte
		for _, e := range extents {
			if !block.CheckExtent(e) {
				h.t.Fatalf("extent %v is malformed", e)
			}
			got = append(got, h.read(e, r)...)
			h.claim(taken, e)
		}
		if !bytes.Equal(got, p.payload) {
			h.t.Fatalf("%d bytes in %v read back differently", len(p.payload), extents)
		}
		if p.placed.OldestTerm == 0 || p.placed.Term < p.placed.OldestTerm {
			h.t.Fatalf("terms %d to %d", p.placed.OldestTerm, p.placed.Term)
		}
	}
	for _, v := range h.cluster.Placement.Volumes() {
		h.verifyVolume(v)
	}
}

// claim checks that no two extents share a granule of 1 byte: it marks each piece's rows coarsely by its first and
// last byte, which suffices because pieces are contiguous.
func (h *harness) claim(taken map[uint64]map[uint64]bool, e *typesv1.Extent) {
	h.t.Helper()
	v := h.cluster.Placement.Volume(e.GetVolume())
	k := int(v.GetScheme().GetK())
	m := taken[e.GetVolume()]
	if m == nil {
		m = make(map[uint64]bool)
		taken[e.GetVolume()] = m
	}
	for piece := range block.Pieces(e, k, 0, e.GetLength()) {
		for _, row := range []uint64{piece.Row, piece.Row + uint64(piece.Length) - 1} {
			address := block.Address(k, piece.Column, row)
			if m[address] && piece.Length > 1 {
				h.t.Fatalf("extent %v shares address %d with another", e, address)
			}
			m[address] = true
		}
		if v.GetState() == placementv1.VolumeState_VOLUME_STATE_SEALED && piece.Row+uint64(piece.Length) > v.GetLength() {
			h.t.Fatalf("extent %v goes beyond the sealed length %d", e, v.GetLength())
		}
	}
}

// verifyVolume checks that parity is that of the data, and that chunks are what frames say.
func (h *harness) verifyVolume(v *placementv1.Volume) {
	h.t.Helper()
	if v.GetState() != placementv1.VolumeState_VOLUME_STATE_SEALED {
		return
	}
	scheme, err := erasure.FromProto(v.GetScheme())
	if err != nil {
		h.t.Fatal(err)
	}
	code, _ := erasure.NewCode(scheme)
	full := make([][]byte, scheme.N())
	var complete []int
	for c := range full {
		chunk := h.column(v, c)
		if uint64(len(chunk.Rows)) >= v.GetLength() {
			full[c] = chunk.Rows[:v.GetLength()]
			complete = append(complete, c)
		}
	}
	if len(complete) < scheme.K {
		h.t.Fatalf("volume %#x was sealed at %d rows, which %d columns reach", v.GetId(), v.GetLength(), len(complete))
	}
	if v.GetLength() == 0 {
		return
	}
	again := make([][]byte, scheme.N())
	for c := range again {
		again[c] = make([]byte, v.GetLength())
	}
	data := make([][]byte, scheme.N())
	copy(data, full)
	want := make([]int, scheme.K)
	for c := range want {
		want[c] = c
	}
	if err := code.Reconstruct(data, want); err != nil {
		h.t.Fatal(err)
	}
	for c := range scheme.K {
		copy(again[c], data[c])
	}
	if err := code.Encode(again); err != nil {
		h.t.Fatal(err)
	}
	for _, c := range complete {
		if !bytes.Equal(full[c], again[c]) {
			h.t.Fatalf("volume %#x: column %d is not what the others say", v.GetId(), c)
		}
	}
}

// list reads an extent list.
func (h *harness) list(e *typesv1.Extent, r *rand.Rand) []*typesv1.Extent {
	h.t.Helper()
	var list typesv1.ExtentList
	if err := proto.Unmarshal(h.read(e, r), &list); err != nil {
		h.t.Fatal(err)
	}
	return list.GetExtents()
}

// open counts volumes that are not sealed.
func (h *harness) open() int {
	n := 0
	for _, v := range h.cluster.Placement.Volumes() {
		if v.GetState() == placementv1.VolumeState_VOLUME_STATE_OPEN {
			n++
		}
	}
	return n
}

// schemes are those of all volumes, in the order they were opened.
func (h *harness) schemes() []string {
	var schemes []string
	for _, v := range h.cluster.Placement.Volumes() {
		s, _ := erasure.FromProto(v.GetScheme())
		schemes = append(schemes, s.String())
	}
	return schemes
}

// leaks says what the writer still holds.
func (h *harness) leaks() error {
	if n := h.writer.pool.Outstanding(); n != 0 {
		return fmt.Errorf("%d buffers were not given back", n)
	}
	if !h.writer.memory.TryAcquire(h.writer.memory.Budget()) {
		return errors.New("memory of stripes was not given back")
	}
	h.writer.memory.Release(h.writer.memory.Budget())
	return nil
}
