package disk

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
)

var (
	update   = flag.Bool("update", false, "rewrite the golden files")
	generate = flag.Bool("generate-corpus", false, "make the corpus anew; only for a new version of the format")
)

// corpus is a disk as a killed process left it, written once by version 1 and never changed: what is described by its
// golden files must be read from it for ever.
const corpus = "../../testdata/corpus/v1"

// The chunks of the corpus, by volume.
const (
	corpusOpen = iota + 1
	corpusFenced
	corpusSealed
	corpusTornTail
	corpusRot
	corpusTruncated
	corpusZeros
	corpusBadFooter
	corpusLarge
	corpusEnd
)

// TestGoldenCorpusFiles describes every chunk file by itself, as a rebuild would see it.
func TestGoldenCorpusFiles(t *testing.T) {
	if *generate {
		makeCorpus(t)
	}
	files, err := filepath.Glob(filepath.Join(corpus, "disk", chunksName, "*"+chunkSuffix))
	if err != nil || len(files) != corpusEnd-1 {
		t.Fatalf("%d files, error %v; want %d", len(files), err, corpusEnd-1)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), chunkSuffix)
		t.Run(name, func(t *testing.T) {
			golden(t, name+".txt", describeForPeople(t, path))
		})
	}
}

// TestGoldenCorpusDisk opens the whole disk: recovery, fences, catalogue.
func TestGoldenCorpusDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.CopyFS(path, os.DirFS(filepath.Join(corpus, "disk"))); err != nil {
		t.Fatal(err)
	}
	d, err := Open(Options{FS: vfs.OS{}, Path: path, Log: slog.New(slog.DiscardHandler), OpenFiles: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %s\n", d.Cluster())
	for _, r := range d.List() {
		fmt.Fprintf(&b, "\n%v %v rows %d damaged %v writer %s term %d rs-%d-%d\n", r.Key, r.State, r.EndRow, r.Damaged, r.Writer, r.Term, r.K, r.M)
		_, entries, err := d.Stat(r.Key, true)
		if err != nil {
			t.Fatal(err)
		}
		describeEntries(&b, entries)
	}
	golden(t, "disk.txt", b.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join(corpus, name)
	if *update || *generate {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func describeForPeople(t *testing.T, path string) string {
	t.Helper()
	file, err := vfs.OS{}.Open(path, vfs.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var b strings.Builder
	size, _ := file.Size()
	fmt.Fprintf(&b, "bytes %d\n", size)
	h, err := chunkfile.ReadHeader(file)
	if err != nil {
		fmt.Fprintf(&b, "header: %v\n", err)
		return b.String()
	}
	fmt.Fprintf(&b, "chunk %v rs-%d-%d term %d writer %s capacity %d cluster %s nonce %016x\n",
		h.Key, h.K, h.M, h.Term, h.Writer, h.Capacity, h.Cluster, h.Nonce)
	if footer, err := chunkfile.LoadFooter(file, size, h.Key, h.Nonce); err != nil {
		fmt.Fprintf(&b, "footer: %v\n", err)
	} else {
		fmt.Fprintf(&b, "footer: length %d\n", footer.Length)
		describeEntries(&b, footer.Entries)
	}
	scan, err := chunkfile.Recover(file, h.Key, h.Nonce)
	fmt.Fprintf(&b, "frames: end row %d at %d, damaged %v, torn %d, error %v\n", scan.End.Row, scan.End.Offset, scan.Damaged, scan.Torn, err)
	describeEntries(&b, scan.Entries)
	return b.String()
}

func describeEntries(b *strings.Builder, entries []format.Entry) {
	for i := range entries {
		e := &entries[i]
		fmt.Fprintf(b, "  at %d row %d rows %d stored %d granule 2^%d crcs %08x", e.Offset, e.Row, e.Rows, e.Stored, e.GranuleLog2, e.CRCs)
		if e.Continuation {
			b.WriteString(" continuation")
		}
		switch {
		case e.Lost:
			b.WriteString(" lost")
		case e.Damaged:
			b.WriteString(" damaged")
		}
		b.WriteString("\n")
	}
}

// makeCorpus writes the corpus with the code of this version.
func makeCorpus(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := Format(vfs.OS{}, path, "corpus-cluster"); err != nil {
		t.Fatal(err)
	}
	d, err := Open(Options{FS: vfs.OS{}, Path: path, Log: slog.New(slog.DiscardHandler), OpenFiles: 8})
	if err != nil {
		t.Fatal(err)
	}
	for v := uint64(1); v < corpusEnd; v++ {
		mustCreate(t, d, v)
		if v == corpusZeros {
			continue
		}
		if v == corpusLarge {
			mustAddLarge(t, d, v)
			continue
		}
		for i, n := range []int{5000, 100, 9000} {
			a := frame(uint64(i*10_000), random(v<<8+uint64(i), n))
			a.Rows, a.Continuation = 10_000, i == 2
			if err := add(d, key(v), a); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, fenceErr := d.Fence(key(corpusFenced))
	if err := errors.Join(fenceErr, d.Seal(key(corpusSealed), 20_000), d.Seal(key(corpusBadFooter), 30_000)); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(corpus, "disk")
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(path)), d.Close(t.Context()), os.Remove(filepath.Join(to, lockName))); err != nil {
		t.Fatal(err)
	}
	file := func(v uint64) string { return filepath.Join(to, chunksName, key(v).String()+chunkSuffix) }
	const second, third = 12288, 16384 // where the frames begin
	harm(t, file(corpusTornTail), third+4096, make([]byte, 512))
	harm(t, file(corpusRot), second, make([]byte, 16))
	if err := os.Truncate(file(corpusTruncated), third+5000); err != nil {
		t.Fatal(err)
	}
	harm(t, file(corpusBadFooter), 28672+60, []byte{0xff})
	trimAll(t, to)
}

// mustAddLarge adds frames on both sides of the border between small and large ones. They repeat a page: the repository
// keeps them for ever.
func mustAddLarge(t *testing.T, d *Disk, volume uint64) {
	t.Helper()
	row := uint64(0)
	for i, n := range []int{format.LargeFrame - 1, format.LargeFrame, format.LargeFrame + 5000} {
		a := frame(row, bytes.Repeat(random(volume<<8+uint64(i), format.PageSize), 40)[:n])
		if err := add(d, key(volume), a); err != nil {
			t.Fatal(err)
		}
		row += uint64(a.Rows)
	}
}

func harm(t *testing.T, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, at)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// trimAll shortens what was allocated ahead: 16 KiB of zeros tell as much as a megabyte.
func trimAll(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	more, err2 := filepath.Glob(filepath.Join(dir, chunksName, "*"))
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(files, more...) {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // the folder of chunks
		}
		const keep = 16 << 10
		if used := len(bytes.TrimRight(b, "\x00")); len(b) > used+keep {
			if err := os.Truncate(path, format.PageAlign(int64(used))+keep); err != nil {
				t.Fatal(err)
			}
		}
	}
}
