package chunkfile

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/crashfs"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testDisk is a disk that fails once it was told of an error.
type testDisk struct {
	mu     sync.Mutex
	failed error
	syncs  int
	tasks  sync.WaitGroup
	full   error
}

func (d *testDisk) Writable() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

func (d *testDisk) Failed(doing string, err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_DISK_FAILED, "%s", doing)
	return d.failed
}

func (d *testDisk) Reserve(int64) error { return d.full }

func (d *testDisk) SyncBegins() func(int, int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs++
	return func(int, int64, error) {}
}

func (d *testDisk) Background(task func()) bool {
	d.tasks.Go(task)
	return true
}

const chunkPath = "/disk/chunk"

func testHeader() *format.ChunkHeader {
	return &format.ChunkHeader{
		Key: format.Key{Volume: 7, Generation: 1, Column: 2, Attempt: 0}, K: 2, M: 1, Term: 3, Capacity: 64 << 20,
		Nonce: 0x1234_5678_9abc_def0, Cluster: "c", Disk: "d", Writer: "w",
	}
}

func newFS(t testing.TB) *crashfs.FS {
	t.Helper()
	fs := crashfs.New()
	if err := errors.Join(fs.Mkdir("/disk"), fs.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	return fs
}

// newWriter makes a chunk on fs; its writer is stopped at the test's end.
func newWriter(t testing.TB, fs vfs.FS, path string) (*Writer, *testDisk) {
	t.Helper()
	file, err := Create(fs, path, testHeader())
	if err != nil {
		t.Fatal(err)
	}
	disk := &testDisk{}
	w := NewWriter(disk, NewHandle(file), testHeader())
	t.Cleanup(func() {
		_, _ = w.Stop(Fenced())
		disk.tasks.Wait()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, disk
}

// frame makes an append with its checksums.
func frame(row uint64, rows uint32, data []byte, granuleLog2 uint8) *Append {
	a := &Append{Row: row, Rows: rows, GranuleLog2: granuleLog2, Data: data}
	for at := 0; at < len(data); at += 1 << granuleLog2 {
		a.CRCs = append(a.CRCs, format.Checksum(data[at:min(at+1<<granuleLog2, len(data))]))
	}
	return a
}

func random(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32()) | 1 // never zero: what is stored can be told from what is not
	}
	return b
}

// start submits an append; the answer comes through the channel.
func start(w *Writer, a *Append) <-chan error {
	done := make(chan error, 1)
	a.Done = func(err error) { done <- err }
	if err := w.Submit(a); err != nil {
		done <- err
	}
	return done
}

func mustAppend(t testing.TB, w *Writer, a *Append) {
	t.Helper()
	if err := <-start(w, a); err != nil {
		t.Fatalf("append at row %d: %v", a.Row, err)
	}
}

func wantReason(t testing.TB, err error, want typesv1.Reason) {
	t.Helper()
	if !fault.Is(err, want) {
		t.Errorf("got %v (%v), want %v", err, fault.Reason(err), want)
	}
}

// column is what a chunk should hold, zeros included.
type column []byte

func (c *column) add(rows uint32, data []byte) {
	*c = append(*c, data...)
	*c = append(*c, make([]byte, int(rows)-len(data))...)
}

// readAll compares all rows with want, read in pieces of several sizes.
func readAll(t testing.TB, f vfs.Reader, x *Index, want column) {
	t.Helper()
	var r Reader
	for _, size := range []int{len(want), 1, 4096, 5000, 1 << 16, 1 << 20} {
		step := max(1, len(want)/7)
		for at := 0; at < len(want); at += step {
			n := min(size, len(want)-at, format.BlockSize-at%format.BlockSize)
			if err := readAt(&r, f, x, want, at, n); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func readAt(r *Reader, f vfs.Reader, x *Index, want column, at, n int) error {
	dst := bytes.Repeat([]byte{0xee}, n)
	for _, lent := range [][]byte{nil, dst} {
		got, err := r.Read(f, x, uint64(len(want)), uint64(at), uint32(n), lent)
		if err != nil {
			return fmt.Errorf("read %d rows at %d: %w", n, at, err)
		}
		if err := checkPieces(got); err != nil {
			return fmt.Errorf("read %d rows at %d: %w", n, at, err)
		}
		if len(lent) > 0 && len(got.Data) > 0 && &lent[:cap(lent)][cap(lent)-cap(got.Data)] != &got.Data[0] {
			return fmt.Errorf("read %d rows at %d: not in the lent memory", n, at)
		}
		full := make([]byte, n)
		copy(full, got.Data)
		if !bytes.Equal(full, want[at:at+n]) {
			return fmt.Errorf("read %d rows at %d: other bytes", n, at)
		}
	}
	return nil
}

// checkPieces verifies an answer as a reader far away does.
func checkPieces(rows Rows) error {
	data, size := rows.Data, int(rows.Head)
	for _, crc := range rows.CRCs {
		n := min(size, len(data))
		if n == 0 || format.Checksum(data[:n]) != crc {
			return errors.New("a piece does not match its checksum")
		}
		data, size = data[n:], int(rows.Granule)
	}
	if len(data) > 0 {
		return fmt.Errorf("%d bytes are under no checksum", len(data))
	}
	return nil
}
