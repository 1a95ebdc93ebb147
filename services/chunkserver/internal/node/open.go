package node

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/drystone-store/drystone/services/chunkserver/internal/disk"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
)

// Open identifies all disks, then opens those that are formatted, at the same time. Blank ones wait for Format, unless
// the others say which cluster it is. Errors: ErrOtherCluster, ErrSameDisk, ErrNoFormat, ErrNoDisk, disk.ErrForeign,
// vfs.ErrLocked, format.ErrVersion. A disk that fails otherwise, or is damaged, is reported as failed.
func (n *Node) Open() error {
	found, err := n.identify()
	if err != nil {
		return err
	}
	if err := n.openAll(found); err != nil {
		return err
	}
	if cluster := n.Cluster(); cluster != "" {
		if err := n.Format(cluster); err != nil {
			return err
		}
	}
	if len(n.Disks()) == 0 && len(n.blank) == 0 {
		return fmt.Errorf("node %s: %w", n.options.Name, ErrNoDisk)
	}
	n.opened.Store(true)
	return nil
}

// candidate is a folder that has an identity.
type candidate struct {
	path     string
	identity format.Identity
}

// identify reads who the disks are and refuses what does not fit together, before anything is opened.
func (n *Node) identify() ([]candidate, error) {
	var found []candidate
	var errs []error
	seen := map[string]string{}
	for _, path := range n.options.Paths {
		identity, err := disk.Identify(n.options.FS, path)
		switch {
		case errors.Is(err, disk.ErrBlank) && n.options.NoFormat:
			errs = append(errs, fmt.Errorf("%s: %w", path, ErrNoFormat))
			continue
		case errors.Is(err, disk.ErrBlank):
			n.blank = append(n.blank, path)
			continue
		case err != nil && isOperators(err):
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
			continue
		case err != nil:
			// Its id is not known, so nobody can be told; placement sees it missing.
			n.options.Log.Error("a disk cannot be read and is left out", slog.String("path", path), slog.Any("error", err))
			continue
		}
		if other, twice := seen[identity.Disk]; twice {
			errs = append(errs, fmt.Errorf("%s and %s have the id %s: %w", other, path, identity.Disk, ErrSameDisk))
		}
		seen[identity.Disk] = path
		if n.cluster = cmp.Or(n.cluster, identity.Cluster); n.cluster != identity.Cluster {
			errs = append(errs, fmt.Errorf("%s is of %q, others are of %q: %w", path, identity.Cluster, n.cluster, ErrOtherCluster))
		}
		found = append(found, candidate{path: path, identity: identity})
	}
	return found, errors.Join(errs...)
}

// isOperators says that an error is about what was configured, not about a disk that broke.
func isOperators(err error) bool {
	return slices.ContainsFunc([]error{
		disk.ErrForeign, vfs.ErrLocked, format.ErrVersion,
	}, func(kind error) bool { return errors.Is(err, kind) })
}

// openAll opens formatted disks at the same time: recovery of one does not wait for another.
func (n *Node) openAll(found []candidate) error {
	disks, errs := make([]*disk.Disk, len(found)), make([]error, len(found))
	var opening sync.WaitGroup
	for i, c := range found {
		opening.Go(func() { disks[i], errs[i] = n.openOne(c.path) })
	}
	opening.Wait()
	var fatal []error
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, d := range disks {
		switch err := errs[i]; {
		case err == nil:
			n.disks[d.ID()] = d
			n.order = append(n.order, d)
		case isOperators(err):
			fatal = append(fatal, err)
		default:
			n.options.Log.Error("a disk failed while it was opened", slog.String("path", found[i].path), slog.Any("error", err))
			n.broken = append(n.broken, Report{
				ID: found[i].identity.Disk, Path: found[i].path,
				Status: disk.Status{State: disk.StateFailed, Detail: err.Error()},
			})
		}
	}
	return errors.Join(fatal...)
}

func (n *Node) openOne(path string) (*disk.Disk, error) {
	return disk.Open(disk.Options{
		FS: n.options.FS, Path: path, Log: n.options.Log, Metrics: n.metrics,
		OpenFiles: max(openFilesLeast, openFiles/len(n.options.Paths)),
	})
}

// Format makes disks of the blank folders, for this cluster, and opens them. Nothing happens when none is blank. One
// that cannot be made is logged and left out until the next start. Errors: ErrOtherCluster, disk.ErrForeign,
// vfs.ErrLocked.
func (n *Node) Format(cluster string) error {
	n.mu.Lock()
	if n.cluster != "" && n.cluster != cluster {
		defer n.mu.Unlock()
		return fmt.Errorf("format for %q, the node is of %q: %w", cluster, n.cluster, ErrOtherCluster)
	}
	n.cluster = cluster
	blank := n.blank
	n.blank = nil
	n.mu.Unlock()
	var errs []error
	for _, path := range blank {
		err := n.formatOne(path, cluster)
		switch {
		case err == nil:
		case isOperators(err):
			errs = append(errs, err)
		default:
			n.options.Log.Error("a folder cannot be made a disk", slog.String("path", path), slog.Any("error", err))
		}
	}
	return errors.Join(errs...)
}

func (n *Node) formatOne(path, cluster string) error {
	if err := disk.Format(n.options.FS, path, cluster); err != nil {
		return err
	}
	d, err := n.openOne(path)
	if err != nil {
		return err
	}
	n.options.Log.Info("a disk was formatted", slog.String("path", path), slog.String("disk", d.ID()))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.disks[d.ID()] = d
	n.order = append(n.order, d)
	return nil
}
