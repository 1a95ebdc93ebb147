package catalogue

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/crashfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/faultfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testDir  = "/disk"
	testDisk = "disk-1"
)

type state = map[format.Key]format.ChunkRecord

func newFS(t testing.TB) *crashfs.FS {
	t.Helper()
	fs := crashfs.New()
	if err := errors.Join(fs.Mkdir(testDir), fs.SyncDir("/"), Create(fs, testDir, testDisk)); err != nil {
		t.Fatal(err)
	}
	return fs
}

func open(t testing.TB, fs vfs.FS) (*Log, Report) {
	t.Helper()
	l, report, err := Open(Options{FS: fs, Dir: testDir, Disk: testDisk, Rebuild: func(salvaged []format.ChunkRecord) ([]format.ChunkRecord, error) {
		return salvaged, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, report
}

func record(volume uint64, s format.State) format.ChunkRecord {
	return format.ChunkRecord{Key: format.Key{Volume: volume}, State: s, K: 5, M: 4, Writer: "w", EndRow: volume * 10}
}

func contents(l *Log) state {
	out := state{}
	for _, r := range l.Records() {
		out[r.Key] = r
	}
	return out
}

func put(t testing.TB, l *Log, want state, records ...format.ChunkRecord) {
	t.Helper()
	for _, r := range records {
		if err := l.Put(r); err != nil {
			t.Fatal(err)
		}
		want[r.Key] = r
	}
}

func TestReopen(t *testing.T) {
	fs, want := newFS(t), state{}
	l, _ := open(t, fs)
	put(t, l, want, record(1, format.StateOpen), record(2, format.StateOpen), record(1, format.StateSealed))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, report := open(t, fs)
	if diff := cmp.Diff(want, contents(again)); diff != "" || report != (Report{}) {
		t.Errorf("report %+v, %s", report, diff)
	}
	if err := l.Put(record(3, format.StateOpen)); !errors.Is(err, ErrClosed) {
		t.Errorf("put after close: %v", err)
	}
}

func TestOneSyncServesMany(t *testing.T) {
	base := newFS(t)
	var syncs sync.Map
	entered, release := make(chan struct{}, 100), make(chan struct{})
	armed := false
	fs := faultfs.New(base, func(op faultfs.Op) error {
		if armed && op.Kind == faultfs.Datasync {
			syncs.Store(len(entered), true)
			entered <- struct{}{}
			<-release
		}
		return nil
	})
	l, _ := open(t, fs)
	armed = true
	var wg sync.WaitGroup
	wg.Go(func() { _ = l.Put(record(0, format.StateOpen)) })
	<-entered // the first sync runs; all others gather behind it
	for i := range 50 {
		wg.Go(func() { _ = l.Put(record(uint64(i+1), format.StateOpen)) })
	}
	for {
		l.mu.Lock()
		gathered := l.next != nil && len(l.next.records) == 50
		l.mu.Unlock()
		if gathered {
			break
		}
	}
	close(release)
	wg.Wait()
	if got := len(entered) + 1; got != 2 {
		t.Errorf("51 records took %d syncs, want 2", got)
	}
}

func TestTornTailIsCut(t *testing.T) {
	fs, want := newFS(t), state{}
	l, _ := open(t, fs)
	put(t, l, want, record(1, format.StateOpen), record(2, format.StateOpen))
	// A batch of two of which only the second slot reached the disk: nobody was told of either.
	second := record(4, format.StateOpen)
	torn := (&format.Slot{Place: format.SlotPlace{File: 1, Index: 4, Synced: 3}, Chunk: &second}).Append(nil)
	overwrite(t, fs, 4, torn)
	l2, report := open(t, fs)
	if diff := cmp.Diff(want, contents(l2)); diff != "" || report != (Report{Torn: 1}) {
		t.Errorf("report %+v, %s", report, diff)
	}
	// What comes now lies where the torn slots were, and only that is found again.
	put(t, l2, want, record(5, format.StateOpen))
	l3, report := open(t, fs)
	if diff := cmp.Diff(want, contents(l3)); diff != "" || report != (Report{}) {
		t.Errorf("report %+v, %s", report, diff)
	}
}

func TestRotIsReportedAndRebuilt(t *testing.T) {
	for name, damage := range map[string]func(*testing.T, *crashfs.FS){
		"a slot in the middle": func(t *testing.T, fs *crashfs.FS) { overwrite(t, fs, 2, make([]byte, format.SlotSize)) },
		"a flipped bit":        func(t *testing.T, fs *crashfs.FS) { overwrite(t, fs, 2, []byte{0xff}) },
		"the header":           func(t *testing.T, fs *crashfs.FS) { overwrite(t, fs, 0, make([]byte, format.SlotSize)) },
	} {
		t.Run(name, func(t *testing.T) {
			fs, want := newFS(t), state{}
			l, _ := open(t, fs)
			put(t, l, want, record(1, format.StateOpen), record(2, format.StateOpen), record(3, format.StateOpen))
			_ = l.Close()
			damage(t, fs)
			lost := record(2, format.StateFenced)
			asked := false
			l, report, err := Open(Options{FS: fs, Dir: testDir, Disk: testDisk, Rebuild: func(salvaged []format.ChunkRecord) ([]format.ChunkRecord, error) {
				asked = true
				return append(salvaged, lost), nil
			}})
			if err != nil || !report.Rot || !asked {
				t.Fatalf("asked %v, report %+v, error %v", asked, report, err)
			}
			want[lost.Key] = lost
			if diff := cmp.Diff(want, contents(l)); diff != "" {
				t.Error(diff)
			}
			again, report := open(t, fs)
			if diff := cmp.Diff(want, contents(again)); diff != "" || report.Rot {
				t.Errorf("after the rebuild: %+v, %s", report, diff)
			}
		})
	}
}

func TestMissingFileIsRot(t *testing.T) {
	fs := newFS(t)
	if err := fs.Remove(testDir + "/" + fileName(1)); err != nil {
		t.Fatal(err)
	}
	if _, report := open(t, fs); !report.Rot {
		t.Error("a catalogue that is gone must be reported")
	}
}

func TestCompaction(t *testing.T) {
	fs, want := newFS(t), state{}
	l, _ := open(t, fs)
	for i := range garbageFloor + 10 {
		put(t, l, want, record(uint64(i%3), format.State(1+i%3)))
	}
	names, err := fs.List(testDir)
	if err != nil || !cmp.Equal(names, []string{fileName(2)}) {
		t.Errorf("files %v, error %v; want the second file alone", names, err)
	}
	again, report := open(t, fs)
	if diff := cmp.Diff(want, contents(again)); diff != "" || report != (Report{}) {
		t.Errorf("report %+v, %s", report, diff)
	}
}

func TestFailedSyncBreaksTheLog(t *testing.T) {
	syncs, fail := 0, false
	fs := faultfs.New(newFS(t), func(op faultfs.Op) error {
		if fail && op.Kind == faultfs.Datasync {
			syncs++
			return unix.ENOSPC // even this: the bytes may be gone
		}
		return nil
	})
	l, _ := open(t, fs)
	fail = true
	if err := l.Put(record(1, format.StateOpen)); err == nil || errors.Is(err, unix.ENOSPC) {
		t.Errorf("first put: %v, want an error that is not a lack of space", err)
	}
	if err := l.Put(record(2, format.StateOpen)); err == nil {
		t.Error("a put after a failed sync was accepted")
	}
	if syncs != 1 {
		t.Errorf("%d syncs, want 1: a failed one is never tried again", syncs)
	}
	if len(l.Records()) != 0 {
		t.Error("a record that is not durable shows")
	}
}

// TestNoFileForANewCatalogue: what a process has too little of does not break the file that is there.
func TestNoFileForANewCatalogue(t *testing.T) {
	short, refused := false, 0
	fs := faultfs.New(newFS(t), func(op faultfs.Op) error {
		if short && op.Kind == faultfs.Create {
			refused++
			return unix.EMFILE
		}
		return nil
	})
	l, _ := open(t, fs)
	l.floor = 3
	want := state{}
	short = true
	for i := range 20 {
		put(t, l, want, record(uint64(i%3), format.StateOpen))
	}
	if refused == 0 {
		t.Error("no new file was tried: the test proves nothing")
	}
	short = false
	put(t, l, want, record(1, format.StateSealed))
	again, _ := open(t, fs)
	if diff := cmp.Diff(want, contents(again)); diff != "" {
		t.Error(diff)
	}
}

func TestFullDiskStillTakesFences(t *testing.T) {
	fs := newFS(t)
	l, _ := open(t, fs)
	put(t, l, state{}, record(0, format.StateOpen))
	usage, _ := fs.Usage("/")
	fs.SetCapacity(usage.Capacity - usage.Free)
	n := 0
	var err error
	for ; n < 2000 && err == nil; n++ {
		err = l.Put(record(uint64(n), format.StateFenced))
	}
	if !errors.Is(err, unix.ENOSPC) || n < 200 {
		t.Fatalf("%d puts on a full disk, then %v; want hundreds, then ENOSPC", n, err)
	}
	fs.SetCapacity(usage.Capacity)
	if err := l.Put(record(1, format.StateSealed)); err != nil {
		t.Errorf("space is back, yet: %v", err)
	}
}

func TestReadOnlyChangesNothing(t *testing.T) {
	fs, want := newFS(t), state{}
	l, _ := open(t, fs)
	put(t, l, want, record(1, format.StateOpen))
	ops := fs.Ops()
	ro, _, err := Open(Options{FS: fs, Dir: testDir, Disk: testDisk, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, contents(ro)); diff != "" || fs.Ops() != ops {
		t.Errorf("%d changes, %s", fs.Ops()-ops, diff)
	}
	if err := ro.Put(record(2, format.StateOpen)); !errors.Is(err, ErrReadOnly) {
		t.Errorf("put: %v", err)
	}
}

// TestPowerCuts: whatever is put, in whatever order, at every operation of the file system the power may go; then each
// acknowledged record is there, others whole or not at all. The control loses its syncs, and must be caught.
func TestPowerCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if lost := runAndCut(t, nil); lost != "" {
			t.Fatal(lost)
		}
	})
}

func TestPowerCutsControl(t *testing.T) {
	caught := 0
	rapid.Check(t, func(t *rapid.T) {
		lying := func(op faultfs.Op) error {
			if op.Kind == faultfs.Datasync {
				return faultfs.ErrSkip
			}
			return nil
		}
		if lost := runAndCut(t, lying); lost != "" {
			caught++
		}
	})
	if caught == 0 {
		t.Error("a log without syncs passed the test of power cuts")
	}
}

func runAndCut(t *rapid.T, lie faultfs.Hook) (problem string) {
	disk := crashfs.New()
	if err := errors.Join(disk.Mkdir(testDir), disk.SyncDir("/"), Create(disk, testDir, testDisk)); err != nil {
		t.Fatal(err)
	}
	var fs vfs.FS = disk
	if lie != nil {
		fs = faultfs.New(disk, lie)
	}
	rebuild := func(salvaged []format.ChunkRecord) ([]format.ChunkRecord, error) {
		return nil, errors.New("rot without damage")
	}
	l, _, err := Open(Options{FS: fs, Dir: testDir, Disk: testDisk, Rebuild: rebuild})
	if err != nil {
		t.Fatal(err)
	}
	l.floor = 3 // compaction happens all the time
	acked, tried := state{}, map[format.Key][]format.ChunkRecord{}
	cutAt := disk.Ops() + rapid.IntRange(1, 60).Draw(t, "cut")
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	keep := rapid.Float64Range(0, 1).Draw(t, "keep")
	var after *crashfs.FS
	var must state
	disk.OnOp(func(op int, fs *crashfs.FS) {
		if op == cutAt {
			after, must = fs.CloneLocked(rng, keep), maps.Clone(acked)
		}
	})
	for i := range rapid.IntRange(5, 40).Draw(t, "puts") {
		r := record(uint64(rapid.IntRange(0, 5).Draw(t, "volume")), format.StateOpen)
		r.EndRow = uint64(i)
		tried[r.Key] = append(tried[r.Key], r)
		if err := l.Put(r); err != nil {
			t.Fatal(err)
		}
		acked[r.Key] = r
	}
	if after == nil {
		after, must = disk.CrashClone(rng, keep), acked
	}
	found, _, err := Open(Options{FS: after, Dir: testDir, Disk: testDisk, Rebuild: rebuild})
	if err != nil {
		return err.Error()
	}
	return judge(must, tried, contents(found))
}

// judge: each acknowledged state, or a later one that was tried, is there, and nothing else.
func judge(must state, tried map[format.Key][]format.ChunkRecord, got state) string {
	for key, r := range got {
		if !slices.Contains(tried[key], r) {
			return fmt.Sprintf("%v was never put", r)
		}
	}
	for key, r := range must {
		g, ok := got[key]
		if !ok || slices.Index(tried[key], g) < slices.Index(tried[key], r) {
			return fmt.Sprintf("acknowledged %v, found %v (%v)", r, g, ok)
		}
	}
	return ""
}

func FuzzParse(f *testing.F) {
	fs := newFS(f)
	l, _ := open(f, fs)
	put(f, l, state{}, record(1, format.StateOpen), record(2, format.StateSealed))
	file, err := fs.Open(testDir+"/"+fileName(1), vfs.ReadOnly)
	if err != nil {
		f.Fatal(err)
	}
	b := make([]byte, 5*format.SlotSize)
	if _, err := file.ReadAt(b, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parse(1, testDisk, b)
		if err != nil {
			return
		}
		if c.whole && (c.end < 1 || c.end > len(c.slots)) {
			t.Fatalf("end %d of %d slots", c.end, len(c.slots))
		}
		_, _ = choose([]*candidate{c})
	})
}

func overwrite(t *testing.T, fs *crashfs.FS, slot int64, b []byte) {
	t.Helper()
	file, err := fs.Open(testDir+"/"+fileName(1), vfs.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.WriteVec(slot*format.SlotSize, b), file.Datasync()); err != nil {
		t.Fatal(err)
	}
}
