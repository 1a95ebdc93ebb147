package disk

import (
	"errors"
	"math/rand/v2"
	"path"
	"testing"

	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/crashfs"
)

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(t *testing.T, fs *crashfs.FS)
		want error
	}{
		"a blank folder":     {func(t *testing.T, fs *crashfs.FS) { _ = fs.Remove(path.Join(testPath, identityName)) }, ErrBlank},
		"a damaged identity": {func(t *testing.T, fs *crashfs.FS) { scribble(t, fs, path.Join(testPath, identityName), 10, 0xff) }, format.ErrChecksum},
		"a disk in use": {func(t *testing.T, fs *crashfs.FS) {
			if _, err := fs.Lock(path.Join(testPath, lockName)); err != nil {
				t.Fatal(err)
			}
		}, vfs.ErrLocked},
		"chunks without identity": {func(t *testing.T, fs *crashfs.FS) {
			_, err := fs.Create(path.Join(testPath, chunksName, "x"+chunkSuffix))
			if err = errors.Join(err, fs.Remove(path.Join(testPath, identityName))); err != nil {
				t.Fatal(err)
			}
		}, ErrForeign},
	} {
		t.Run(name, func(t *testing.T) {
			fs := formatted(t)
			c.harm(t, fs)
			if _, err := Open(options(fs)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestFormatRefusesForeignFolders(t *testing.T) {
	fs := crashfs.New()
	if err := errors.Join(makeFolders(fs, testPath), fs.Mkdir(path.Join(testPath, "photos"))); err != nil {
		t.Fatal(err)
	}
	if err := Format(fs, testPath, testCluster); !errors.Is(err, ErrForeign) {
		t.Errorf("got %v, want ErrForeign", err)
	}
	fs = formatted(t)
	if err := Format(fs, testPath, testCluster); err == nil {
		t.Error("a disk was formatted a second time")
	}
}

// TestFormatSurvivesPowerCuts: whenever the power goes, the folder is a whole disk or can be formatted again.
func TestFormatSurvivesPowerCuts(t *testing.T) {
	for cut := 1; ; cut++ {
		fs := crashfs.New()
		var after *crashfs.FS
		fs.OnOp(func(op int, fs *crashfs.FS) {
			if op == cut {
				after = fs.CloneLocked(rand.New(rand.NewPCG(uint64(cut), 7)), 0.5)
			}
		})
		if err := Format(fs, testPath, testCluster); err != nil {
			t.Fatal(err)
		}
		if after == nil {
			return // all operations were cut at
		}
		if d, err := Open(options(after)); err == nil {
			_ = d.Close(t.Context())
			continue
		}
		if err := Format(after, testPath, testCluster); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		d, err := Open(options(after))
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		_ = d.Close(t.Context())
	}
}
