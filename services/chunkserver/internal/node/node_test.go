package node

import (
	"context"
	"errors"
	"log/slog"
	"path"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/disk"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/crashfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/faultfs"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newNode(t *testing.T, fs vfs.FS, change func(*Options), paths ...string) *Node {
	t.Helper()
	o := Options{FS: fs, Name: "node-1", Paths: paths, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

func mustFormat(t *testing.T, fs vfs.FS, cluster string, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := disk.Format(fs, p, cluster); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBlankDisksWaitForTheCluster(t *testing.T) {
	fs := crashfs.New()
	n := newNode(t, fs, nil, "/a", "/b")
	_, err := n.Disk("anything")
	if !fault.Is(err, typesv1.Reason_REASON_UNAVAILABLE) {
		t.Errorf("before Open: %v", err)
	}
	if err := n.Open(); err != nil {
		t.Fatal(err)
	}
	if n.Cluster() != "" || len(n.Disks()) != 0 || len(n.Reports()) != 0 {
		t.Error("a blank folder shows as a disk")
	}
	if err := n.Format("cluster-1"); err != nil {
		t.Fatal(err)
	}
	reports := n.Reports()
	if n.Cluster() != "cluster-1" || len(reports) != 2 || reports[0].ID == reports[1].ID {
		t.Fatalf("cluster %q, %+v", n.Cluster(), reports)
	}
	for _, r := range reports {
		if d, err := n.Disk(r.ID); err != nil || d.Path() != r.Path {
			t.Error(err)
		}
	}
	if _, err := n.Disk("other"); !fault.Is(err, typesv1.Reason_REASON_NO_SUCH_DISK) {
		t.Errorf("an unknown disk: %v", err)
	}
	if err := n.Format("cluster-2"); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("a second cluster: %v", err)
	}
}

// TestNewDiskOfAnOldNode: the other disks say which cluster it is.
func TestNewDiskOfAnOldNode(t *testing.T) {
	fs := crashfs.New()
	mustFormat(t, fs, "cluster-1", "/a")
	n := newNode(t, fs, nil, "/a", "/b")
	if err := n.Open(); err != nil {
		t.Fatal(err)
	}
	if got := n.Reports(); len(got) != 2 || n.Cluster() != "cluster-1" {
		t.Errorf("%q, %+v", n.Cluster(), got)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(t *testing.T, fs *crashfs.FS)
		change  func(*Options)
		want    error
	}{
		"two clusters": {func(t *testing.T, fs *crashfs.FS) {
			mustFormat(t, fs, "cluster-1", "/a")
			mustFormat(t, fs, "cluster-2", "/b")
		}, nil, ErrOtherCluster},
		"a copied disk": {func(t *testing.T, fs *crashfs.FS) {
			mustFormat(t, fs, "cluster-1", "/a", "/b")
			copyFile(t, fs, "/a/disk.json", "/b/disk.json")
		}, nil, ErrSameDisk},
		"a disk in use": {func(t *testing.T, fs *crashfs.FS) {
			mustFormat(t, fs, "cluster-1", "/a", "/b")
			if _, err := fs.Lock("/b/lock"); err != nil {
				t.Fatal(err)
			}
		}, nil, vfs.ErrLocked},
		"something else": {func(t *testing.T, fs *crashfs.FS) {
			if err := errors.Join(fs.Mkdir("/a"), fs.Mkdir("/a/photos")); err != nil {
				t.Fatal(err)
			}
		}, nil, disk.ErrForeign},
		"not mounted": {func(*testing.T, *crashfs.FS) {}, func(o *Options) { o.NoFormat = true }, ErrNoFormat},
	} {
		t.Run(name, func(t *testing.T) {
			fs := crashfs.New()
			c.prepare(t, fs)
			n := newNode(t, fs, c.change, "/a", "/b")
			if err := n.Open(); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestOneBrokenDisk does not keep the others from serving, and is reported.
func TestOneBrokenDisk(t *testing.T) {
	base := crashfs.New()
	mustFormat(t, base, "cluster-1", "/a", "/b")
	broken := faultfs.New(base, func(op faultfs.Op) error {
		if op.Kind == faultfs.Read && strings.HasPrefix(op.Path, "/b/catalogue") {
			return unix.EIO
		}
		return nil
	})
	n := newNode(t, broken, nil, "/a", "/b")
	if err := n.Open(); err != nil {
		t.Fatal(err)
	}
	got := n.Reports()
	if len(got) != 2 || got[0].State != disk.StateOK || got[1].State != disk.StateFailed || got[1].ID == "" {
		t.Errorf("%+v", got)
	}

	unreadable := faultfs.New(base, func(op faultfs.Op) error {
		if op.Kind == faultfs.Open || op.Kind == faultfs.Read {
			return unix.EIO
		}
		return nil
	})
	all := newNode(t, unreadable, nil, "/a")
	if err := all.Open(); !errors.Is(err, ErrNoDisk) {
		t.Errorf("no disk left: %v", err)
	}
}

// TestOneDamagedDisk: rot in what a disk says of itself costs that disk and no other, and nobody formats it anew.
func TestOneDamagedDisk(t *testing.T) {
	fs := crashfs.New()
	mustFormat(t, fs, "cluster-1", "/a", "/b")
	f, err := fs.Open("/b/disk.json", vfs.ReadWrite)
	if err = errors.Join(err, f.WriteVec(5, []byte{0xff})); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, fs, nil, "/a", "/b")
	if err := n.Open(); err != nil {
		t.Fatal(err)
	}
	if err := n.Format("cluster-1"); err != nil {
		t.Fatal(err)
	}
	if got := n.Reports(); len(got) != 1 || got[0].Path != "/a" || got[0].State != disk.StateOK {
		t.Errorf("%+v", got)
	}
	if _, err := disk.Identify(fs, "/b"); !errors.Is(err, format.ErrChecksum) {
		t.Errorf("the damaged identity: %v", err)
	}
}

// TestOneFolderCannotBeFormatted: the others are.
func TestOneFolderCannotBeFormatted(t *testing.T) {
	fs := faultfs.New(crashfs.New(), func(op faultfs.Op) error {
		if op.Kind == faultfs.Create && strings.HasPrefix(op.Path, "/b/") {
			return unix.EIO
		}
		return nil
	})
	n := newNode(t, fs, nil, "/a", "/b", "/c")
	if err := n.Open(); err != nil {
		t.Fatal(err)
	}
	if err := n.Format("cluster-1"); err != nil {
		t.Fatal(err)
	}
	if got := n.Reports(); len(got) != 2 || got[0].Path != "/a" || got[1].Path != "/c" {
		t.Errorf("%+v", got)
	}
}

func copyFile(t *testing.T, fs vfs.FS, from, to string) {
	t.Helper()
	src, err := fs.Open(from, vfs.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := src.Size()
	text := make([]byte, size)
	_, err = src.ReadAt(text, 0)
	err = errors.Join(err, fs.Remove(path.Clean(to)))
	dst, createErr := fs.Create(to)
	if err = errors.Join(err, createErr); err != nil {
		t.Fatal(err)
	}
	if err := dst.WriteVec(0, text); err != nil {
		t.Fatal(err)
	}
}
