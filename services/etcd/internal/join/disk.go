package join

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"google.golang.org/protobuf/proto"
)

// Identity is who a data folder's member is.
type Identity struct {
	Member, Cluster types.ID
}

// errNoData means that no member ever wrote into the folder.
var errNoData = errors.New("no data")

// headRecords is within how many records a log file says whose it is: it comes second.
const headRecords = 4

// readIdentity finds out whose log lies in a folder; errNoData when there is none.
func readIdentity(walDir string) (Identity, error) {
	entries, err := os.ReadDir(walDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Identity{}, fmt.Errorf("look for a member's log: %w", err)
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".wal") {
			files = append(files, e.Name())
		}
	}
	if len(files) == 0 {
		return Identity{}, errNoData
	}
	// Every file begins with the identity; the newest is sure to be whole at its beginning.
	name := filepath.Join(walDir, slices.Max(files))
	id, err := identityOf(name)
	if err != nil {
		return Identity{}, fmt.Errorf("read from %s whose log it is: %w", name, err)
	}
	return id, nil
}

func identityOf(name string) (Identity, error) {
	f, err := os.Open(name)
	if err != nil {
		return Identity{}, err
	}
	defer f.Close()
	decoder := wal.NewDecoder(fileutil.NewFileReader(f))
	for range headRecords {
		var record walpb.Record
		if err := decoder.Decode(&record); err != nil {
			return Identity{}, err
		}
		switch record.GetType() {
		case wal.CrcType:
			decoder.UpdateCRC(record.GetCrc())
		case wal.MetadataType:
			var m etcdserverpb.Metadata
			if err := proto.Unmarshal(record.GetData(), &m); err != nil {
				return Identity{}, err
			}
			return Identity{Member: types.ID(m.GetNodeID()), Cluster: types.ID(m.GetClusterID())}, nil
		}
	}
	return Identity{}, errors.New("it does not say")
}

// misplaced finds a member's log where etcd does not look for it: what somebody restored one folder too high or too low.
// A member that started without it would make believe that there never was anything.
func misplaced(s Settings) error {
	for _, at := range []struct{ dir, is string }{
		{s.DataDir, "high"},
		{filepath.Join(s.DataDir, "member", "member"), "low"},
	} {
		for _, part := range []string{"wal", "snap"} {
			name := filepath.Join(at.dir, part)
			if name == filepath.Clean(s.WALDir) {
				continue // --wal-dir says so.
			}
			if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return fmt.Errorf("look for a misplaced log: %w", err)
			}
			return fmt.Errorf("%s is a member's, but one folder too %s for --data-dir %s, so etcd would not see it: restore with `--data-dir %s`, or move it into %s",
				name, at.is, s.DataDir, s.DataDir, filepath.Join(s.DataDir, "member"))
		}
	}
	return nil
}

// setAside moves what lies in a data folder without a log out of etcd's way: a database says which entries it has, and a
// new member that found one would skip entries of another life. One such folder is kept, for people.
func setAside(dataDir string) error {
	from, to := filepath.Join(dataDir, "member"), filepath.Join(dataDir, "member.without-log")
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("set the rest of a member's data aside: %w", err)
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("set the rest of a member's data aside: %w", err)
	}
	return nil
}
