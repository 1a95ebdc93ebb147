package chunkfile

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/faultfs"
)

func TestAppendAndRead(t *testing.T) {
	w, _ := newWriter(t, newFS(t), chunkPath)
	var want column
	for i, f := range []struct {
		rows, stored uint32
		log2         uint8
	}{
		{5000, 5000, 12},
		{100, 0, 16},
		{format.BlockSize - 5100, 70000, 13},
		{format.BlockSize, format.BlockSize, 16},
		{1, 1, 16},
		{4096, 4096, 12},
		{format.BlockSize - 5000, 300_000, 16},
	} {
		data := random(uint64(i), int(f.stored))
		mustAppend(t, w, frame(uint64(len(want)), f.rows, data, f.log2))
		want.add(f.rows, data)
	}
	readAll(t, w.File(), w.Index(), want)

	var r Reader
	_, err := r.Read(w.File(), w.Index(), uint64(len(want)), uint64(len(want))-1, 2, nil)
	wantReason(t, err, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE)
	_, err = r.Read(w.File(), w.Index(), uint64(len(want)), format.BlockSize-1, 2, nil)
	wantReason(t, err, typesv1.Reason_REASON_INVALID_ARGUMENT)
}

func TestRefusals(t *testing.T) {
	w, _ := newWriter(t, newFS(t), chunkPath)
	mustAppend(t, w, frame(0, 100, random(1, 100), 16))
	bad := frame(100, 10, random(1, 10), 16)
	bad.CRCs[0]++
	early := frame(100, 10, random(1, 10), 16)
	early.SyncedRow = 101
	few := frame(100, 10, random(1, 10), 16)
	few.CRCs = nil
	for name, c := range map[string]struct {
		append *Append
		want   typesv1.Reason
	}{
		"before the end":       {frame(99, 10, nil, 16), typesv1.Reason_REASON_ROW_MISMATCH},
		"after the end":        {frame(101, 10, nil, 16), typesv1.Reason_REASON_ROW_MISMATCH},
		"crosses a block":      {frame(100, format.BlockSize, nil, 16), typesv1.Reason_REASON_INVALID_ARGUMENT},
		"no rows":              {frame(100, 0, nil, 16), typesv1.Reason_REASON_INVALID_ARGUMENT},
		"more bytes than rows": {frame(100, 1, random(1, 2), 16), typesv1.Reason_REASON_INVALID_ARGUMENT},
		"bad granule":          {frame(100, 1, random(1, 1), 20), typesv1.Reason_REASON_INVALID_ARGUMENT},
		"synced beyond itself": {early, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"no checksums":         {few, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"wrong checksum":       {bad, typesv1.Reason_REASON_CHUNK_CORRUPT},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, <-start(w, c.append), c.want) })
	}
	mustAppend(t, w, frame(100, 10, random(2, 10), 16))
}

// TestRefusalRefusesWhatFollows: frames in flight behind a refused one must not be applied.
func TestRefusalRefusesWhatFollows(t *testing.T) {
	release := make(chan struct{})
	var writes atomic.Int32
	fs := faultfs.New(newFS(t), func(op faultfs.Op) error {
		if op.Kind == faultfs.Write && op.Offset >= format.PageSize && writes.Add(1) == 1 {
			<-release // the frames behind gather in the queue
		}
		return nil
	})
	w, _ := newWriter(t, fs, chunkPath)
	first := start(w, frame(0, 10, random(1, 10), 16))
	corrupt := frame(10, 10, random(2, 10), 16)
	corrupt.Data[3] ^= 4
	second, third := start(w, corrupt), start(w, frame(20, 10, random(3, 10), 16))
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	wantReason(t, <-second, typesv1.Reason_REASON_CHUNK_CORRUPT)
	wantReason(t, <-third, typesv1.Reason_REASON_ROW_MISMATCH)
	wantReason(t, <-start(w, frame(30, 10, nil, 16)), typesv1.Reason_REASON_ROW_MISMATCH)
	mustAppend(t, w, frame(10, 10, random(2, 10), 16)) // a retry of the refused one
}

// TestGroupSync: what comes during a sync is written at once and shares the next.
func TestGroupSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entered, release := make(chan struct{}, 10), make(chan struct{})
		armed := atomic.Bool{}
		fs := faultfs.New(newFS(t), func(op faultfs.Op) error {
			if armed.Load() && op.Kind == faultfs.Datasync {
				entered <- struct{}{}
				<-release
			}
			return nil
		})
		w, disk := newWriter(t, fs, chunkPath)
		armed.Store(true)
		var answers []<-chan error
		const n = 64
		for i := range uint64(n) {
			answers = append(answers, start(w, frame(i*10, 10, random(i, 10), 16)))
			if i == 0 {
				<-entered
			}
		}
		synctest.Wait()
		if w.row != n*10 {
			t.Errorf("%d rows are written while a sync runs, want all %d", w.row, n*10)
		}
		if end := w.Index().End(); end != 0 {
			t.Errorf("rows up to %d show before they are durable", end)
		}
		close(release)
		for _, a := range answers {
			if err := <-a; err != nil {
				t.Error(err)
			}
		}
		if disk.syncs != 2 {
			t.Errorf("%d appends took %d syncs, want 2", n, disk.syncs)
		}
	})
}

// TestFailedSync: nothing of it is acknowledged, no sync is tried again, nothing is appended any more (trap 2).
func TestFailedSync(t *testing.T) {
	armed, syncs := atomic.Bool{}, atomic.Int32{}
	fs := faultfs.New(newFS(t), func(op faultfs.Op) error {
		if armed.Load() && op.Kind == faultfs.Datasync && syncs.Add(1) == 1 {
			return unix.EIO // only once: a second one would be answered with nil
		}
		return nil
	})
	w, _ := newWriter(t, fs, chunkPath)
	mustAppend(t, w, frame(0, 10, random(1, 10), 16))
	armed.Store(true)
	wantReason(t, <-start(w, frame(10, 10, random(2, 10), 16)), typesv1.Reason_REASON_DISK_FAILED)
	wantReason(t, <-start(w, frame(10, 10, random(2, 10), 16)), typesv1.Reason_REASON_DISK_FAILED)
	wantReason(t, <-start(w, frame(20, 10, random(2, 10), 16)), typesv1.Reason_REASON_DISK_FAILED)
	if _, err := w.Stop(Fenced()); err == nil {
		t.Error("the end of a chunk with a failed sync is not known, yet Stop said it")
	}
	if got := syncs.Load(); got != 1 {
		t.Errorf("%d syncs, want 1", got)
	}
	if w.Index().End() != 10 {
		t.Errorf("rows up to %d show, 10 are durable", w.Index().End())
	}
}

func TestFailedWrite(t *testing.T) {
	for name, failure := range map[string]error{
		"error": unix.EIO, "short": &faultfs.ShortError{N: 50, Err: unix.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			armed := atomic.Bool{}
			fs := faultfs.New(newFS(t), func(op faultfs.Op) error {
				if armed.Load() && op.Kind == faultfs.Write {
					return failure
				}
				return nil
			})
			w, _ := newWriter(t, fs, chunkPath)
			mustAppend(t, w, frame(0, 10, random(1, 10), 16))
			armed.Store(true)
			wantReason(t, <-start(w, frame(10, 10, random(2, 10), 16)), typesv1.Reason_REASON_DISK_FAILED)
			if got, err := Recover(w.File(), w.key, w.nonce); err != nil || got.End.Row != 10 {
				t.Errorf("recovered to row %d, error %v; want 10", got.End.Row, err)
			}
		})
	}
}

// TestRoomForTheFooter: a chunk that cannot grow can still be sealed within what it has.
func TestRoomForTheFooter(t *testing.T) {
	fs := newFS(t)
	w, disk := newWriter(t, fs, chunkPath)
	disk.tasks.Wait()
	usage, _ := fs.Usage("/")
	fs.SetCapacity(usage.Capacity - usage.Free + 100<<10)
	var want column
	var err error
	for i := uint64(0); err == nil && i < 1000; i++ {
		data := random(i, 8192)
		if err = <-start(w, frame(uint64(len(want)), 8192, data, 12)); err == nil {
			want.add(8192, data)
		}
	}
	if err == nil {
		t.Fatal("the disk never filled up")
	}
	end, err := w.Stop(Fenced())
	if err != nil || end.Row != uint64(len(want)) {
		t.Fatalf("stopped at %+v, error %v; want row %d", end, err, len(want))
	}
	disk.tasks.Wait()
	if err := w.Trim(); err != nil {
		t.Fatal(err)
	}
	h := testHeader()
	footer := &format.Footer{Key: h.Key, Nonce: h.Nonce, Length: end.Row, Entries: w.Index().Entries()}
	size, err := Seal(w.File(), footer, end.Offset)
	if err != nil {
		t.Fatal(err)
	}
	got, err := LoadFooter(w.File(), size, h.Key, h.Nonce)
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, w.File(), NewIndex(got.Entries), want)
}

// TestAllocatesAhead: space is there before it is needed, more the longer a chunk grows, and given back at its end.
func TestAllocatesAhead(t *testing.T) {
	fs := newFS(t)
	w, disk := newWriter(t, fs, chunkPath)
	inline := 0
	for i := range uint64(40) {
		if w.offset+format.FrameSize(format.BlockSize, 16)+w.footer+100 > w.space.allocated.Load() {
			inline++
		}
		mustAppend(t, w, frame(i*format.BlockSize, format.BlockSize, random(i, format.BlockSize), 16))
		disk.tasks.Wait()
	}
	size, _ := w.File().Size()
	if ahead := size - w.offset; inline > 1 || ahead < 4<<20 || ahead > 2*aheadMax {
		t.Errorf("%d of 40 appends had to allocate; %d bytes are ahead", inline, ahead)
	}
	if _, err := w.Stop(Fenced()); err != nil {
		t.Fatal(err)
	}
	if err := w.Trim(); err != nil {
		t.Fatal(err)
	}
	if size, _ := w.File().Size(); size > w.offset+16<<10 {
		t.Errorf("%d bytes stay allocated behind the end", size-w.offset)
	}
}

func TestStopWaitsForAppends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		armed := atomic.Bool{}
		fs := faultfs.New(newFS(t), func(op faultfs.Op) error {
			if armed.Load() && op.Kind == faultfs.Datasync {
				<-release
			}
			return nil
		})
		w, _ := newWriter(t, fs, chunkPath)
		armed.Store(true)
		answer := start(w, frame(0, 10, random(1, 10), 16))
		stopped := make(chan string, 1)
		go func() {
			end, err := w.Stop(Fenced())
			stopped <- fmt.Sprint(end.Row, err)
		}()
		synctest.Wait()
		wantReason(t, <-start(w, frame(10, 10, nil, 16)), typesv1.Reason_REASON_CHUNK_FENCED)
		select {
		case <-stopped:
			t.Fatal("stopped before the append was answered")
		default:
		}
		close(release)
		if err := <-answer; err != nil {
			t.Error(err)
		}
		if got := <-stopped; got != "10 <nil>" {
			t.Errorf("stopped at %s", got)
		}
	})
}
