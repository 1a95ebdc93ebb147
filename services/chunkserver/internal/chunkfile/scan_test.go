package chunkfile

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/faultfs"
)

// chain writes frames of 10,000 rows, each synced before the next: so each frame but the last is known as synced.
func chain(t *testing.T, fs vfs.FS, frames int) (*Writer, []int64) {
	t.Helper()
	w, _ := newWriter(t, fs, chunkPath)
	var offsets []int64
	for i := range uint64(frames) {
		offsets = append(offsets, w.offset)
		mustAppend(t, w, frame(i*10_000, 10_000, random(i, 10_000), 12))
	}
	return w, offsets
}

// unsynced writes frames behind the writer's back, as if the power had gone before their sync: none knows of another.
func unsynced(t *testing.T, w *Writer, frames int) []int64 {
	t.Helper()
	var offsets []int64
	row, at := w.row, w.offset
	for i := range uint64(frames) {
		a := frame(row, 10_000, random(100+i, 10_000), 12)
		h := format.FrameHeader{
			Key: w.key, Nonce: w.nonce, Row: row, Rows: a.Rows, Stored: uint32(len(a.Data)), GranuleLog2: 12,
			SyncedOffset: uint64(w.syncedOffset.Load()), CRCs: a.CRCs,
		}
		if err := w.file.WriteVec(at, h.Append(nil), a.Data); err != nil {
			t.Fatal(err)
		}
		offsets = append(offsets, at)
		row, at = row+10_000, at+format.FrameSize(10_000, 12)
	}
	return offsets
}

func scribble(t *testing.T, f vfs.File, at int64, b ...byte) {
	t.Helper()
	if err := f.WriteVec(at, b); err != nil {
		t.Fatal(err)
	}
}

// TestRecover tells torn tails from rot (trap 16).
func TestRecover(t *testing.T) {
	const frameSize = 12288 // 10,000 bytes and a header, in pages
	zeros := make([]byte, frameSize)
	type verdict struct {
		EndRow  uint64
		Damaged bool
		Torn    int
		Lost    int // entries
	}
	for name, c := range map[string]struct {
		synced, loose int
		harm          func(t *testing.T, f vfs.File, synced, loose []int64)
		want          verdict
	}{
		"empty":           {0, 0, nil, verdict{}},
		"whole":           {5, 0, nil, verdict{EndRow: 50_000}},
		"whole, unsynced": {3, 3, nil, verdict{EndRow: 60_000}},
		"torn data of the last": {3, 1, func(t *testing.T, f vfs.File, _, loose []int64) {
			scribble(t, f, loose[0]+9000, zeros[:512]...)
		}, verdict{EndRow: 30_000}},
		"torn header of the last": {3, 1, func(t *testing.T, f vfs.File, _, loose []int64) {
			scribble(t, f, loose[0], zeros[:512]...)
		}, verdict{EndRow: 30_000}},
		"torn first of three, others whole": {3, 3, func(t *testing.T, f vfs.File, _, loose []int64) {
			scribble(t, f, loose[0], zeros[:512]...)
		}, verdict{EndRow: 30_000, Torn: 2}},
		"torn second of three": {3, 3, func(t *testing.T, f vfs.File, _, loose []int64) {
			scribble(t, f, loose[1]+5000, zeros[:512]...)
		}, verdict{EndRow: 40_000, Torn: 1}},
		"rot in a frame's data": {5, 0, func(t *testing.T, f vfs.File, synced, _ []int64) {
			scribble(t, f, synced[2]+6000, 0)
		}, verdict{EndRow: 50_000, Damaged: true}},
		"rot in a frame's header": {5, 0, func(t *testing.T, f vfs.File, synced, _ []int64) {
			scribble(t, f, synced[2]+50, 0xff)
		}, verdict{EndRow: 50_000, Damaged: true, Lost: 1}},
		"rot of two frames": {6, 0, func(t *testing.T, f vfs.File, synced, _ []int64) {
			scribble(t, f, synced[2], zeros...)
			scribble(t, f, synced[3], zeros...)
		}, verdict{EndRow: 60_000, Damaged: true, Lost: 1}},
		"rot in the first frame": {3, 0, func(t *testing.T, f vfs.File, synced, _ []int64) {
			scribble(t, f, synced[0], zeros...)
		}, verdict{EndRow: 30_000, Damaged: true, Lost: 1}},
		"rot and a torn tail": {4, 2, func(t *testing.T, f vfs.File, synced, loose []int64) {
			scribble(t, f, synced[1]+6000, 0)
			scribble(t, f, loose[0]+6000, 0)
		}, verdict{EndRow: 40_000, Damaged: true, Torn: 1}},
		// The last synced frame has no later witness: its rot cannot be told from a torn tail, and is not acknowledged
		// as long as another k columns prove it (house rule: the k-th largest proof counts).
		"rot in the last frame": {3, 0, func(t *testing.T, f vfs.File, synced, _ []int64) {
			scribble(t, f, synced[2]+6000, 0)
		}, verdict{EndRow: 20_000}},
		"a witness that is torn itself": {3, 1, func(t *testing.T, f vfs.File, synced, loose []int64) {
			scribble(t, f, synced[2]+6000, 0)
			scribble(t, f, loose[0]+6000, 0)
		}, verdict{EndRow: 30_000, Damaged: true}},
	} {
		t.Run(name, func(t *testing.T) {
			w, synced := chain(t, newFS(t), c.synced)
			loose := unsynced(t, w, c.loose)
			if c.harm != nil {
				c.harm(t, w.File(), synced, loose)
			}
			scan, err := Recover(w.File(), w.key, w.nonce)
			if err != nil {
				t.Fatal(err)
			}
			got := verdict{EndRow: scan.End.Row, Damaged: scan.Damaged, Torn: scan.Torn}
			row := uint64(0)
			for _, e := range scan.Entries {
				if e.Row != row {
					t.Errorf("a gap before row %d", e.Row)
				}
				row = e.End()
				if e.Lost {
					got.Lost++
				}
			}
			if row != scan.End.Row {
				t.Errorf("frames end at %d, the scan says %d", row, scan.End.Row)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestPayloadCannotPassForAFrame: an object may hold the image of a chunk, but not this chunk's nonce.
func TestPayloadCannotPassForAFrame(t *testing.T) {
	w, _ := chain(t, newFS(t), 2)
	forged := format.FrameHeader{
		Key: w.key, Nonce: w.nonce + 1, Row: 1 << 20, Rows: 100, GranuleLog2: 16, SyncedOffset: 1 << 40, SyncedRow: 1 << 20,
	}
	data := make([]byte, 20_000)
	copy(data[8192-format.FrameHeaderSize(20_000, 12):], forged.Append(nil)) // on a page's beginning
	a := frame(20_000, 20_000, data, 12)
	offset := w.offset
	mustAppend(t, w, a)
	scribble(t, w.File(), offset, 0) // and its own header is torn
	scan, err := Recover(w.File(), w.key, w.nonce)
	if err != nil || scan.End.Row != 20_000 || scan.Damaged {
		t.Errorf("recovered %+v, error %v; want the two frames before", scan.End, err)
	}
}

// TestUnreadableTailIsNoTornTail: where reading fails nobody knows what is there, so nothing may be cut.
func TestUnreadableTailIsNoTornTail(t *testing.T) {
	w, offsets := chain(t, newFS(t), 4)
	broken := func(from, to int64) vfs.File {
		return faultfs.NewFile(w.File(), chunkPath, func(op faultfs.Op) error {
			if op.Kind == faultfs.Read && op.Offset < to && op.Offset+op.Length > from {
				return unix.EIO
			}
			return nil
		})
	}
	if scan, err := Recover(broken(offsets[3], offsets[3]+1), w.key, w.nonce); err == nil {
		t.Errorf("an unreadable last frame: recovered to %+v, want an error", scan.End)
	}
	scan, err := Recover(broken(offsets[1], offsets[1]+1), w.key, w.nonce)
	if err != nil || scan.End.Row != 40_000 || !scan.Damaged {
		t.Errorf("an unreadable frame with witnesses: %+v, error %v; want damage", scan, err)
	}
}

// TestLoad: with a known end whatever is bad is damage, and data is not read.
func TestLoad(t *testing.T) {
	w, offsets := chain(t, newFS(t), 4)
	end := End{Row: w.row, Offset: w.offset}
	load := func() Scan {
		t.Helper()
		scan, err := Load(w.File(), w.key, w.nonce, end)
		if err != nil || scan.End != end {
			t.Fatalf("loaded to %+v, error %v", scan.End, err)
		}
		return scan
	}
	if diff := cmp.Diff(w.Index().Entries(), load().Entries); diff != "" {
		t.Error(diff)
	}
	scribble(t, w.File(), offsets[1]+50, 0xff)
	scribble(t, w.File(), offsets[3]+50, 0xff)
	scan := load()
	var lost []uint64
	for _, e := range scan.Entries {
		if e.Lost {
			lost = append(lost, e.Row)
		}
	}
	if !scan.Damaged || !cmp.Equal(lost, []uint64{10_000, 30_000}) {
		t.Errorf("damaged %v, lost %v; want the second and the last", scan.Damaged, lost)
	}
}

// TestDamageIsSeen: reads of other granules and frames go on, the damaged one is named (traps 9 and 11).
func TestDamageIsSeen(t *testing.T) {
	w, offsets := chain(t, newFS(t), 3)
	entries := w.Index().Entries()
	scribble(t, w.File(), entries[1].DataOffset()+5000, 0) // the second granule of the second frame
	var r Reader
	for name, c := range map[string]struct {
		row  uint64
		rows uint32
		ok   bool
	}{
		"before": {0, 10_000, true}, "first granule": {10_000, 4096, true}, "a byte of the granule": {10_000 + 4096, 1, false},
		"end of the granule": {10_000 + 8191, 1, false}, "third granule": {10_000 + 8192, 100, true}, "across": {5_000, 20_000, false},
		"after": {20_000, 10_000, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Read(w.File(), w.Index(), 30_000, c.row, c.rows, nil)
			if (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
		})
	}
	none := func(int64) error { return nil }
	found, err := Verify(w.File(), w.key, w.nonce, entries, none)
	if err != nil || len(found.Damaged) != 1 || found.Damaged[0].Row != 10_000 || found.Clean() {
		t.Errorf("verify found %+v, error %v; want the frame at row 10,000", found, err)
	}
	scribble(t, w.File(), offsets[2]+20, 0xee) // a header that no read looks at
	if found, _ = Verify(w.File(), w.key, w.nonce, entries, none); len(found.Damaged) != 2 {
		t.Errorf("verify found %d frames, want 2", len(found.Damaged))
	}
}

// TestFooterOfAnotherChunk: a footer is believed only if it is this file's own (trap 7).
func TestFooterOfAnotherChunk(t *testing.T) {
	w, _ := chain(t, newFS(t), 2)
	end, err := w.Stop(Fenced())
	if err != nil {
		t.Fatal(err)
	}
	footer := &format.Footer{Key: w.key, Nonce: w.nonce, Length: end.Row, Entries: w.Index().Entries()}
	size, err := Seal(w.File(), footer, end.Offset)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LoadFooter(w.File(), size, w.key, w.nonce); err != nil {
		t.Error(err)
	}
	other := w.key
	other.Attempt++
	if _, err := LoadFooter(w.File(), size, other, w.nonce); err == nil {
		t.Error("the footer of another attempt was accepted")
	}
	if _, err := LoadFooter(w.File(), size, w.key, w.nonce+1); err == nil {
		t.Error("the footer of another file was accepted")
	}
	if !VerifyFooter(w.File(), end.Offset, size, w.key, w.nonce) || !VerifyHeader(w.File(), w.key, w.nonce) {
		t.Error("a good file was found damaged")
	}
}
