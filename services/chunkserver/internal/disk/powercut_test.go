package disk

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/faultfs"
)

// shutDown is the ioctl that ends a file system as a power cut does: _IOR('X', 125, __u32), and its argument to drop
// what the journal has not written.
const (
	shutDown          = 0x8004587d
	withoutFlushing   = 2
	cutsOfAFileSystem = 3
	// answersBeforeCut is enough for several chunks of each writer to be made, filled and followed by another.
	answersBeforeCut = 300
)

// TestShutDownFileSystem cuts real file systems off in the middle of work: everything that was answered before is there
// after the next mount. The control skips the syncs of chunks and must be caught.
func TestShutDownFileSystem(t *testing.T) {
	for _, kind := range []string{"ext4", "xfs"} {
		t.Run(kind, func(t *testing.T) {
			image := makeFileSystem(t, kind)
			for cut := range cutsOfAFileSystem {
				known := workUntilShutDown(t, image, uint64(cut), vfs.OS{})
				if problem := lossesAfterMount(t, image, known); problem != "" {
					t.Fatal(problem)
				}
			}
		})
		t.Run(kind+" control", func(t *testing.T) {
			image := makeFileSystem(t, kind)
			lying := faultfs.New(vfs.OS{}, func(op faultfs.Op) error {
				if op.Kind == faultfs.Datasync && isChunk(op) {
					return faultfs.ErrSkip
				}
				return nil
			})
			if lossesAfterMount(t, image, workUntilShutDown(t, image, 0, lying)) == "" {
				t.Error("a disk that skips its syncs lost nothing")
			}
		})
	}
}

// makeFileSystem makes an image of 400 MiB, or skips the test where that cannot be.
func makeFileSystem(t *testing.T, kind string) string {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs." + kind)
	if err != nil || os.Geteuid() != 0 {
		t.Skipf("needs root and mkfs.%s: %v", kind, err)
	}
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 400<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), mkfs, "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return image
}

// mount mounts the image by a loop device; the answer unmounts it.
func mount(t *testing.T, image string) (dir string, unmount func()) {
	t.Helper()
	dir = t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("no loop mounts here: %v: %s", err, out)
	}
	return dir, sync.OnceFunc(func() {
		if out, err := exec.CommandContext(context.Background(), "umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
}

func openOn(t *testing.T, fs vfs.FS, dir string) *Disk {
	t.Helper()
	path := filepath.Join(dir, "disk")
	if _, err := Identify(fs, path); err != nil {
		if err := Format(fs, path, testCluster); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Open(Options{FS: fs, Path: path, Log: slog.New(slog.DiscardHandler), OpenFiles: 16})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// workUntilShutDown runs writers until the file system is gone. What was answered before that moment is returned, by
// volume: rows, or 0 for a chunk that was only made.
func workUntilShutDown(t *testing.T, image string, round uint64, fs vfs.FS) map[uint64]uint64 {
	t.Helper()
	dir, unmount := mount(t, image)
	defer unmount()
	d := openOn(t, fs, dir)
	var mu sync.Mutex
	acked, answers, enough := map[uint64]uint64{}, 0, make(chan struct{})
	note := func(volume, rows uint64) {
		mu.Lock()
		defer mu.Unlock()
		acked[volume] = rows
		if answers++; answers == answersBeforeCut {
			close(enough)
		}
	}
	var writers sync.WaitGroup
	for w := range uint64(4) {
		writers.Go(func() {
			for n := uint64(0); ; n++ {
				volume := round<<32 | w<<16 | n + 1
				if d.Create(header(volume)) != nil {
					return
				}
				note(volume, 0)
				for row := uint64(0); row < 200_000; row += 5000 {
					if add(d, key(volume), frame(row, random(volume+row, 5000))) != nil {
						return
					}
					note(volume, row+5000)
				}
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(time.Minute):
		t.Error("the disk is too slow")
	}
	mu.Lock()
	known := maps.Clone(acked) // an answer that comes later than the cut began proves nothing
	cutErr := cutOff(dir)
	mu.Unlock()
	writers.Wait()
	_ = d.Close(t.Context()) // it cannot write any more
	if cutErr != nil {
		t.Skipf("the file system cannot be shut down: %v", cutErr)
	}
	return known
}

func cutOff(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	err = unix.IoctlSetPointerInt(fd, shutDown, withoutFlushing)
	if closeErr := unix.Close(fd); err == nil {
		err = closeErr
	}
	return err
}

// lossesAfterMount says what of the answered is not there, empty when all is.
func lossesAfterMount(t *testing.T, image string, known map[uint64]uint64) string {
	t.Helper()
	dir, unmount := mount(t, image)
	defer unmount()
	d := openOn(t, vfs.OS{}, dir)
	defer func() {
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	rows := uint64(0)
	for volume, acked := range known {
		r, err := d.Fence(key(volume))
		if err != nil || r.EndRow < acked || r.Damaged {
			return fmt.Sprintf("chunk %v: %d rows were answered, %+v is there, %v", key(volume), acked, r, err)
		}
		var want []byte
		for row := uint64(0); row < r.EndRow; row += 5000 {
			want = append(want, random(volume+row, 5000)...)
		}
		if err := check(d, key(volume), want); err != nil {
			return err.Error()
		}
		rows += acked
	}
	if rows == 0 {
		t.Error("nothing was answered before the cut")
	}
	t.Logf("%d chunks with %d rows are there", len(known), rows)
	return ""
}
