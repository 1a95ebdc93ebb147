// Package backup saves the state of an etcd cluster in files, and makes members' data of them.
package backup

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/drystone-store/drystone/services/kit/clock"
)

// statusTimeout bounds the question to one member how far it is.
const statusTimeout = 5 * time.Second

// Options say what to save where.
type Options struct {
	// Endpoints are client URLs of the members, and TLS is how they know the caller; nil for http.
	Endpoints []string
	TLS       *tls.Config
	// Dir is the folder for snapshots; it is made if it is absent.
	Dir string
	// Keep is how many snapshots of one life of a cluster's data stay, 1 at least.
	Keep int
	// Timeout bounds all of it.
	Timeout time.Duration
}

// Taken is a snapshot that is safe on disk.
type Taken struct {
	File     string `json:"file"`
	Bytes    int64  `json:"bytes"`
	SHA256   string `json:"sha256"`
	Endpoint string `json:"endpoint"`
	Cluster  string `json:"cluster"`
	// Revision is the member's just before; the snapshot has that one or a later one.
	Revision int64  `json:"revision"`
	Version  string `json:"etcdVersion"`
	Millis   int64  `json:"millis"`
	// Removed are the older snapshots that made room.
	Removed []string `json:"removed"`
}

// Take saves the state of the member that is furthest, checks what was written, and removes the oldest snapshots beyond
// Keep, of the same cluster and the same life of its data. When it returns an error, all snapshots that were there are
// still there.
func Take(ctx context.Context, o Options) (Taken, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	begun := clock.Now()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return Taken{}, fmt.Errorf("make the folder for snapshots: %w", err)
	}
	source, err := furthest(ctx, o)
	if err != nil {
		return Taken{}, err
	}
	taken, err := save(ctx, o, source, begun)
	if err != nil {
		return Taken{}, fmt.Errorf("save a snapshot of %s: %w", source.endpoint, err)
	}
	if err = sweep(o.Dir, begun.Add(-o.Timeout)); err == nil {
		taken.Removed, err = prune(o.Dir, o.Keep, filepath.Base(taken.File))
	}
	if err != nil {
		return Taken{}, fmt.Errorf("%s is saved; %w", taken.File, err)
	}
	taken.Millis = clock.Now().Sub(begun).Milliseconds()
	return taken, nil
}

// dial makes a client of one member only: a snapshot is the state of the member that answers.
func dial(o Options, endpoint string) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, TLS: o.TLS, Logger: zap.NewNop()})
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", endpoint, err)
	}
	return client, nil
}

// source is a member and how far it is.
type source struct {
	endpoint string
	status   *clientv3.StatusResponse
}

// furthest finds the member that has applied most: one that lags, or is cut off, would give an old state.
func furthest(ctx context.Context, o Options) (source, error) {
	var best source
	var errs []error
	for _, endpoint := range o.Endpoints {
		status, err := ask(ctx, o, endpoint)
		switch {
		case err != nil:
			errs = append(errs, err)
		case best.status == nil || status.RaftAppliedIndex > best.status.RaftAppliedIndex:
			best = source{endpoint, status}
		}
	}
	if best.status == nil {
		return source{}, fmt.Errorf("find a member to save: %w", errors.Join(errs...))
	}
	return best, nil
}

func ask(ctx context.Context, o Options, endpoint string) (*clientv3.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	client, err := dial(o, endpoint)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	status, err := client.Status(ctx, endpoint)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", endpoint, err)
	}
	return status, nil
}

// save writes the snapshot under a name that no reader takes for one, until it is whole and on disk.
func save(ctx context.Context, o Options, from source, at time.Time) (taken Taken, err error) {
	client, err := dial(o, from.endpoint)
	if err != nil {
		return Taken{}, err
	}
	defer func() { _ = client.Close() }()
	resp, err := client.SnapshotWithVersion(ctx)
	if err != nil {
		return Taken{}, err
	}
	defer func() { _ = resp.Snapshot.Close() }()

	f, err := os.CreateTemp(o.Dir, "*"+partSuffix)
	if err != nil {
		return Taken{}, err
	}
	part := f.Name()
	defer func() {
		if err != nil {
			_ = os.Remove(part)
		}
	}()
	_, err = io.Copy(f, resp.Snapshot)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return Taken{}, err
	}
	sum, size, err := Verify(part)
	if err != nil {
		return Taken{}, err
	}
	header := from.status.Header
	name := filepath.Join(o.Dir, fileName(at, header.GetClusterId(), header.GetRevision()))
	if err := os.Rename(part, name); err != nil {
		return Taken{}, err
	}
	return Taken{
		File: name, Bytes: size, SHA256: sum, Endpoint: from.endpoint, Version: resp.Version,
		Cluster: fmt.Sprintf("%016x", header.GetClusterId()), Revision: header.GetRevision(),
	}, syncDir(o.Dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
