// Package node is the disks of one chunk-server: finding out which are its own, formatting new ones, and telling
// requests where a disk is.
//
// Constraints:
//
//  1. All disks of a node belong to one cluster, and no id is there twice: else nothing is opened.
//  2. A disk that cannot be opened does not keep the others from serving.
//  3. A blank folder becomes a disk only once the cluster is known.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/disk"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// openFiles bounds the files of chunks at rest that a node keeps open, over all disks, each with up to two descriptors:
	// processes that run many nodes have 20,000 in all.
	openFiles = 512
	// openFilesLeast is what each disk gets, however many there are.
	openFilesLeast = 32
)

// What an operator has to mend before a node can start.
var (
	ErrOtherCluster = errors.New("the disk belongs to another cluster")
	ErrSameDisk     = errors.New("the same disk is given twice, or was copied")
	ErrNoDisk       = errors.New("no disk can be used")
	ErrNoFormat     = errors.New("the folder is not formatted, and formatting is switched off")
)

// Options say which disks a node has.
type Options struct {
	FS    vfs.FS
	Name  string
	Paths []string
	// NoFormat refuses blank folders instead of making disks of them: a disk that is not mounted looks blank.
	NoFormat bool
	Log      *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Node holds the disks. Open comes first; Close ends them.
type Node struct {
	options Options
	metrics *disk.Metrics
	// opened says that Open is done: before, a disk that is not found may still come.
	opened atomic.Bool

	mu      sync.Mutex
	disks   map[string]*disk.Disk
	order   []*disk.Disk
	blank   []string
	broken  []Report
	cluster string
}

// Report is a disk as placement hears of it.
type Report struct {
	ID     string
	Path   string
	Chunks int
	disk.Status
}

// New makes a node without disks. Errors: metrics that cannot be registered.
func New(o Options) (*Node, error) {
	m, err := disk.NewMetrics(o.Metrics, o.Name)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", o.Name, err)
	}
	return &Node{options: o, metrics: m, disks: map[string]*disk.Disk{}}, nil
}

// Cluster is the id of the cluster that the disks belong to, empty while all of them are blank.
func (n *Node) Cluster() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cluster
}

// Disks are the open ones, in the order of the paths.
func (n *Node) Disks() []*disk.Disk {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]*disk.Disk(nil), n.order...)
}

// Disk finds an open disk. Errors: NO_SUCH_DISK; UNAVAILABLE while disks are being opened.
func (n *Node) Disk(id string) (*disk.Disk, error) {
	n.mu.Lock()
	d := n.disks[id]
	n.mu.Unlock()
	switch {
	case d != nil:
		return d, nil
	case !n.opened.Load():
		return nil, fault.New(codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE, "the disks are being opened")
	default:
		return nil, fault.New(codes.NotFound, typesv1.Reason_REASON_NO_SUCH_DISK, "no disk %q on this node", id)
	}
}

// Reports describes every disk whose id is known, also those that could not be opened.
func (n *Node) Reports() []Report {
	n.mu.Lock()
	order, broken := n.order, n.broken
	n.mu.Unlock()
	out := make([]Report, 0, len(order)+len(broken))
	for _, d := range order {
		out = append(out, Report{ID: d.ID(), Path: d.Path(), Chunks: d.Chunks(), Status: d.Status()})
	}
	return append(out, broken...)
}

// Close fences what is open and releases the disks. ctx bounds the wait for those that hang.
func (n *Node) Close(ctx context.Context) error {
	var closing sync.WaitGroup
	disks := n.Disks()
	errs := make([]error, len(disks))
	for i, d := range disks {
		closing.Go(func() {
			if err := d.Close(ctx); err != nil {
				errs[i] = fmt.Errorf("close disk %s: %w", d.Path(), err)
			}
		})
	}
	closing.Wait()
	return errors.Join(errs...)
}
