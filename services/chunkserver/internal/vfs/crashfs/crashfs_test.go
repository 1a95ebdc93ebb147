package crashfs

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"testing"

	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, f *FS, path string) []byte {
	t.Helper()
	file, err := f.Open(path, vfs.ReadOnly)
	must(t, err)
	size, err := file.Size()
	must(t, err)
	b := make([]byte, size)
	if size > 0 {
		_, err = file.ReadAt(b, 0)
		must(t, err)
	}
	return b
}

// TestWhatIsSyncedSurvives whatever the coin says.
func TestWhatIsSyncedSurvives(t *testing.T) {
	f := New()
	file, err := f.Create("/a")
	data := bytes.Repeat([]byte("x"), 3000)
	must(t, err, file.WriteVec(0, data), file.Datasync(), f.SyncDir("/"))
	must(t, file.WriteVec(1024, bytes.Repeat([]byte("y"), 1000)))
	for seed := range uint64(20) {
		after := f.CrashClone(rand.New(rand.NewPCG(seed, 1)), 0.5)
		got := contents(t, after, "/a")
		if len(got) != 3000 || !bytes.Equal(got[:1024], data[:1024]) || !bytes.Equal(got[2048:], data[2048:]) {
			t.Fatal("synced bytes changed")
		}
	}
}

// TestWhatIsNotSyncedIsTorn at sectors, sometimes.
func TestWhatIsNotSyncedIsTorn(t *testing.T) {
	f := New()
	file, err := f.Create("/a")
	must(t, err, file.Allocate(0, 4096), file.Datasync(), f.SyncDir("/"))
	must(t, file.WriteVec(0, bytes.Repeat([]byte("x"), 4096)))
	torn := 0
	for seed := range uint64(20) {
		got := contents(t, f.CrashClone(rand.New(rand.NewPCG(seed, 1)), 0.5), "/a")
		kept := 0
		for s := 0; s < 4096; s += sectorSize {
			n := bytes.Count(got[s:s+sectorSize], []byte("x"))
			if n != 0 && n != sectorSize {
				t.Fatal("a sector is torn in itself")
			}
			kept += n / sectorSize
		}
		if kept > 0 && kept < 8 {
			torn++
		}
	}
	if torn == 0 {
		t.Error("no write was torn in 20 cuts")
	}
}

// TestNamesNeedTheirFolder: a synced file under a name that is not durable is gone, a removed one may come back.
func TestNamesNeedTheirFolder(t *testing.T) {
	f := New()
	file, err := f.Create("/a")
	must(t, err, file.WriteVec(0, []byte("x")), file.Datasync())
	lost := f.CrashClone(rand.New(rand.NewPCG(1, 1)), 0)
	if _, err := lost.Open("/a", vfs.ReadOnly); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the name survived: %v", err)
	}
	must(t, f.SyncDir("/"), f.Remove("/a"))
	back := f.CrashClone(rand.New(rand.NewPCG(1, 1)), 0)
	if got := contents(t, back, "/a"); string(got) != "x" {
		t.Errorf("came back as %q", got)
	}
	must(t, f.Mkdir("/d"), f.Mkdir("/d/e"))
	without := f.CrashClone(rand.New(rand.NewPCG(1, 1)), 0)
	if err := without.Mkdir("/d/e/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder whose parent is lost: %v", err)
	}
}

// TestSpaceRunsOut and comes back.
func TestSpaceRunsOut(t *testing.T) {
	f := New()
	f.SetCapacity(1000)
	file, err := f.Create("/a")
	must(t, err, file.Allocate(0, 900))
	if err := file.WriteVec(890, make([]byte, 200)); err == nil {
		t.Error("more than the disk holds")
	}
	must(t, file.Truncate(100), file.WriteVec(100, make([]byte, 900)))
	if u, _ := f.Usage("/"); u.Free != 0 {
		t.Errorf("%+v", u)
	}
}
