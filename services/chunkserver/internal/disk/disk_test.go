package disk

import (
	"context"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/crashfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/faultfs"
)

func TestLifeOfAChunk(t *testing.T) {
	d := openDisk(t, formatted(t))
	mustCreate(t, d, 1)
	data := random(1, 30_000)
	mustAdd(t, d, 1, 0, data[:10_000])
	mustAdd(t, d, 1, 10_000, data[10_000:])
	mustRead(t, d, 1, data)

	r, err := d.Fence(key(1))
	if err != nil || r.EndRow != 30_000 || r.State != format.StateFenced || r.Damaged {
		t.Fatalf("fenced as %+v, error %v", r, err)
	}
	wantReason(t, add(d, key(1), frame(30_000, data[:10])), typesv1.Reason_REASON_CHUNK_FENCED)
	mustRead(t, d, 1, data)

	wantReason(t, d.Seal(key(1), 30_001), typesv1.Reason_REASON_ROW_MISMATCH)
	if err := d.Seal(key(1), 10_000); err != nil {
		t.Fatal(err)
	}
	if err := d.Seal(key(1), 10_000); err != nil {
		t.Errorf("a repeated seal: %v", err)
	}
	wantReason(t, d.Seal(key(1), 9_000), typesv1.Reason_REASON_ROW_MISMATCH)
	mustRead(t, d, 1, data[:10_000])
	_, err = d.Read(context.Background(), key(1), 10_000, 1, nil)
	wantReason(t, err, typesv1.Reason_REASON_RANGE_NOT_SATISFIABLE)

	r, frames, err := d.Stat(key(1), true)
	if err != nil || len(frames) != 1 || r.State != format.StateSealed || r.EndRow != 10_000 || r.Writer != "writer-1" {
		t.Errorf("%+v with %d frames, error %v", r, len(frames), err)
	}
	if r, err := d.Fence(key(1)); err != nil || r.EndRow != 10_000 {
		t.Errorf("a fence after the seal: row %d, error %v", r.EndRow, err)
	}
}

// TestIdentityIsChecked: position and attempt are identity (traps 7 and 8).
func TestIdentityIsChecked(t *testing.T) {
	d := openDisk(t, formatted(t))
	mustCreate(t, d, 1)
	for name, c := range map[string]struct {
		key  format.Key
		want typesv1.Reason
	}{
		"another generation": {format.Key{Volume: 1, Generation: 2, Column: 2}, typesv1.Reason_REASON_CHUNK_STALE},
		"another attempt":    {format.Key{Volume: 1, Generation: 1, Column: 2, Attempt: 1}, typesv1.Reason_REASON_CHUNK_STALE},
		"another column":     {format.Key{Volume: 1, Generation: 1, Column: 1}, typesv1.Reason_REASON_NO_SUCH_CHUNK},
		"another volume":     {format.Key{Volume: 2, Generation: 1, Column: 2}, typesv1.Reason_REASON_NO_SUCH_CHUNK},
	} {
		t.Run(name, func(t *testing.T) {
			wantReason(t, add(d, c.key, frame(0, random(1, 10))), c.want)
			_, err := d.Read(context.Background(), c.key, 0, 1, nil)
			wantReason(t, err, c.want)
			_, err = d.Fence(c.key)
			wantReason(t, err, c.want)
			wantReason(t, d.Seal(c.key, 0), c.want)
			_, _, err = d.Stat(c.key, false)
			wantReason(t, err, c.want)
		})
	}
}

func TestCreateIsExclusive(t *testing.T) {
	d := openDisk(t, formatted(t))
	mustCreate(t, d, 1)
	mustCreate(t, d, 1) // the same writer asks again
	other := header(1)
	other.Writer = "writer-2"
	wantReason(t, d.Create(other), typesv1.Reason_REASON_CHUNK_EXISTS)
	later := header(1)
	later.Term++
	wantReason(t, d.Create(later), typesv1.Reason_REASON_CHUNK_EXISTS)
	foreign := header(2)
	foreign.Cluster = "cluster-2"
	wantReason(t, d.Create(foreign), typesv1.Reason_REASON_CLUSTER_MISMATCH)
	mustAdd(t, d, 1, 0, random(1, 10))
	wantReason(t, d.Create(header(1)), typesv1.Reason_REASON_CHUNK_EXISTS)
	if d.Chunks() != 1 {
		t.Errorf("%d chunks, want 1", d.Chunks())
	}
}

func TestCreateAtTheSameTime(t *testing.T) {
	d := openDisk(t, formatted(t))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := d.Create(header(1)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	mustAdd(t, d, 1, 0, random(1, 10))
}

// TestRestart: open chunks are fenced at their end, sealed ones are as they were; nothing is scanned after a clean end.
func TestRestart(t *testing.T) {
	for name, clean := range map[string]bool{"clean end": true, "killed": false} {
		t.Run(name, func(t *testing.T) {
			fs := formatted(t)
			d := openDisk(t, fs)
			data := random(1, 20_000)
			for v := uint64(1); v <= 3; v++ {
				mustCreate(t, d, v)
				mustAdd(t, d, v, 0, data)
			}
			if err := d.Seal(key(2), 20_000); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Fence(key(3)); err != nil {
				t.Fatal(err)
			}
			after := fs
			if clean {
				if err := d.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			} else {
				after = fs.CrashClone(rand.New(rand.NewPCG(1, 1)), 0)
			}
			d = openDisk(t, after)
			var states []format.State
			for _, r := range d.List() {
				states = append(states, r.State)
			}
			if diff := cmp.Diff([]format.State{format.StateFenced, format.StateSealed, format.StateFenced}, states); diff != "" {
				t.Error(diff)
			}
			for v := uint64(1); v <= 3; v++ {
				mustRead(t, d, v, data)
				r, err := d.Fence(key(v))
				if err != nil || r.EndRow != 20_000 {
					t.Errorf("volume %d ends at %d, error %v", v, r.EndRow, err)
				}
				if err := d.Seal(key(v), 20_000); err != nil {
					t.Error(err)
				}
			}
			wantReason(t, add(d, key(1), frame(20_000, data[:1])), typesv1.Reason_REASON_CHUNK_FENCED)
		})
	}
}

// TestCutGivesSpaceBack: thousands of crashes must not fill the disk with what was allocated ahead.
func TestCutGivesSpaceBack(t *testing.T) {
	fs := formatted(t)
	for v := uint64(1); v <= 20; v++ {
		d := openDisk(t, fs)
		mustCreate(t, d, v)
		mustAdd(t, d, v, 0, random(v, 5000))
		fs = fs.CrashClone(rand.New(rand.NewPCG(v, 1)), 1)
	}
	openDisk(t, fs)
	if u, _ := fs.Usage("/"); u.Capacity-u.Free > 20*40<<10+2<<20 {
		t.Errorf("%d bytes are used by 20 chunks of 5,000 rows", u.Capacity-u.Free)
	}
}

func TestMissingFileProvesNothing(t *testing.T) {
	fs := formatted(t)
	d := openDisk(t, fs)
	mustCreate(t, d, 1)
	mustAdd(t, d, 1, 0, random(1, 100))
	after := fs.CrashClone(rand.New(rand.NewPCG(1, 1)), 1)
	if err := after.Remove(d.chunkPath(key(1))); err != nil {
		t.Fatal(err)
	}
	d2 := openDisk(t, after)
	_, err := d2.Fence(key(1))
	wantReason(t, err, typesv1.Reason_REASON_NO_SUCH_CHUNK)
	if got := d2.List(); len(got) != 0 {
		t.Errorf("listed: %v", got)
	}
	// All of it overwritten is the same: an end of 0 would be a false proof.
	after = fs.CrashClone(rand.New(rand.NewPCG(1, 1)), 1)
	scribble(t, after, d.chunkPath(key(1)), 0, make([]byte, 16<<10)...)
	d3 := openDisk(t, after)
	_, err = d3.Fence(key(1))
	wantReason(t, err, typesv1.Reason_REASON_NO_SUCH_CHUNK)
}

// TestUnfinishedCreateIsRemoved: its file is there, its record is not; nobody was told of it.
func TestUnfinishedCreateIsRemoved(t *testing.T) {
	fs := formatted(t)
	var after *crashfs.FS
	d := openDisk(t, fs)
	ops := 0
	fs.OnOp(func(_ int, fs *crashfs.FS) {
		if ops++; ops == 6 { // create, allocate, write, sync, sync of the folder, then the catalogue's
			after = fs.CloneLocked(rand.New(rand.NewPCG(1, 1)), 0)
		}
	})
	mustCreate(t, d, 1)
	names, err := after.List(path.Join(testPath, chunksName))
	if err != nil || len(names) != 1 {
		t.Fatalf("the file must have been made by then: %v, %v", names, err)
	}
	d2 := openDisk(t, after)
	if names, _ := after.List(path.Join(testPath, chunksName)); len(names) != 0 || d2.Chunks() != 0 {
		t.Errorf("%v is left, %d chunks", names, d2.Chunks())
	}
	mustCreate(t, d2, 1)
}

func TestLostCatalogueIsRebuilt(t *testing.T) {
	fs := formatted(t)
	d := openDisk(t, fs)
	data := random(1, 20_000)
	for v := uint64(1); v <= 3; v++ {
		mustCreate(t, d, v)
		mustAdd(t, d, v, 0, data)
	}
	mustCreate(t, d, 4) // without frames
	if err := d.Seal(key(2), 20_000); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	names, _ := fs.List(testPath)
	for _, n := range names {
		if strings.HasPrefix(n, "catalogue.") {
			_ = fs.Remove(path.Join(testPath, n))
		}
	}
	d = openDisk(t, fs)
	if got := d.List(); len(got) != 4 || got[1].State != format.StateSealed || got[0].State != format.StateFenced {
		t.Errorf("rebuilt as %+v", got)
	}
	for v := uint64(1); v <= 3; v++ {
		mustRead(t, d, v, data)
	}
}

func TestDamage(t *testing.T) {
	fs := formatted(t)
	d := openDisk(t, fs)
	mustCreate(t, d, 1)
	data := random(1, 30_000)
	for at := 0; at < 30_000; at += 10_000 {
		mustAdd(t, d, 1, uint64(at), data[at:at+10_000])
	}
	if err := d.Seal(key(1), 30_000); err != nil {
		t.Fatal(err)
	}
	_, frames, _ := d.Stat(key(1), true)
	scribble(t, fs, d.chunkPath(key(1)), frames[1].DataOffset()+100, 0)
	_, err := d.Read(context.Background(), key(1), 10_000, 10, nil)
	wantReason(t, err, typesv1.Reason_REASON_CHUNK_CORRUPT)
	if _, err := d.Read(context.Background(), key(1), 20_000, 10_000, nil); err != nil {
		t.Errorf("another frame: %v", err)
	}
	// A read met it, so it is verified next; the finding survives a restart.
	next, _, ok := d.NextScrub(time.Hour)
	if !ok || next != key(1) {
		t.Errorf("next to scrub is %v, %v", next, ok)
	}
	found, err := d.Scrub(t.Context(), next, func(context.Context, int64) error { return nil })
	if err != nil || len(found.Damaged) != 1 || found.Damaged[0].Row != 10_000 || found.BadFooter || found.BadHeader {
		t.Errorf("scrub found %+v, error %v", found, err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d = openDisk(t, fs)
	if got := d.List(); !got[0].Damaged || got[0].VerifiedMs == 0 {
		t.Errorf("after a restart: %+v", got[0])
	}
	// Mended (as repair would by another attempt; here in place): the next scrub says so.
	scribble(t, fs, d.chunkPath(key(1)), frames[1].DataOffset()+100, data[10_100])
	if _, err := d.Scrub(t.Context(), key(1), func(context.Context, int64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := d.List(); got[0].Damaged {
		t.Errorf("after mending: %+v", got[0])
	}
}

// TestDamagedFooter: the frames speak for themselves.
func TestDamagedFooter(t *testing.T) {
	fs := formatted(t)
	d := openDisk(t, fs)
	mustCreate(t, d, 1)
	data := random(1, 30_000)
	mustAdd(t, d, 1, 0, data)
	if err := d.Seal(key(1), 30_000); err != nil {
		t.Fatal(err)
	}
	r, _, _ := d.Stat(key(1), false)
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	scribble(t, fs, d.chunkPath(key(1)), int64(r.EndOffset)+30, 0xff, 0xff)
	d = openDisk(t, fs)
	mustRead(t, d, 1, data)
	found, err := d.Scrub(t.Context(), key(1), func(context.Context, int64) error { return nil })
	if err != nil || !found.BadFooter || len(found.Damaged) != 0 {
		t.Errorf("scrub found %+v, error %v", found, err)
	}
}

// TestStatus: what placement hears.
func TestStatus(t *testing.T) {
	base := formatted(t)
	base.SetCapacity(64 << 20)
	d, arm := breaking(t, base, func(op faultfs.Op) error {
		if op.Kind == faultfs.Datasync {
			return unix.EIO
		}
		return nil
	})
	if s := d.Status(); s.State != StateOK || s.Capacity != 64<<20 || s.Free == 0 {
		t.Errorf("%+v", s)
	}
	mustCreate(t, d, 1)
	mustAdd(t, d, 1, 0, random(1, 10))
	if s := d.Status(); s.Sync == 0 {
		t.Error("no sync latency after a sync")
	}
	used := 64<<20 - d.Status().Free
	base.SetCapacity(used + 8<<10)
	d.measure()
	if s := d.Status(); s.State != StateFull || s.Detail == "" {
		t.Errorf("little space: %+v", s)
	}
	base.SetCapacity(64 << 20)
	d.measure()
	if s := d.Status(); s.State != StateOK {
		t.Errorf("space is back: %+v", s)
	}
	arm.Store(true)
	wantReason(t, add(d, key(1), frame(10, random(1, 10))), typesv1.Reason_REASON_DISK_FAILED)
	if s := d.Status(); s.State != StateFailed || !strings.Contains(s.Detail, "sync") {
		t.Errorf("after a failed sync: %+v", s)
	}
}
