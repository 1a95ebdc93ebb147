package volume

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/nodes"
	"github.com/drystone-store/drystone/services/datapath/peers"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/limit"
)

const (
	// defaultStripeMemory holds 28 stripes of the default scheme, parity included: about ten uploads at full speed.
	defaultStripeMemory = 256 << 20

	// maxLanes bounds classes × schemes in use at a time: each holds open files on every member.
	maxLanes = 64

	// tendEvery is how often terms, schemes and idleness are looked at.
	tendEvery = time.Second

	// shutdownPatience bounds the sealing of what is open when the writer stops. What is left repair seals once the
	// lease is over.
	shutdownPatience = 8 * time.Second
)

// WriterConfig says who writes, with how much memory.
type WriterConfig struct {
	// Name is the writer's id: the same for this process's life and no other's. Role, host and a random part.
	Name string
	// StripeMemory is what all uploads together may hold in stripes, parity included, in bytes. 0: 256 MiB.
	StripeMemory int64
}

// WriterDeps are what a Writer works with.
type WriterDeps struct {
	Placement placementv1.PlacementServiceClient
	Peers     *peers.Peers
	Topology  *nodes.Topology
	// Learn hears of each map entry that this writer made; may be nil. nodes.Map's Learn saves readers a look-up.
	Learn func(*placementv1.Volume)
	Log   *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Placed says where a payload is durable. A commit takes it as it is.
type Placed struct {
	// Extents are the payload's addresses in order; nil when ExtentList is set.
	Extents []*typesv1.Extent
	// ExtentList addresses an EXTENTS record that holds them, when they are too many for a row.
	ExtentList *typesv1.Extent
	// Writer wrote it.
	Writer string
	// Term and OldestTerm are the newest and the oldest of the volumes' terms.
	Term, OldestTerm uint64
}

// Writer makes payloads durable in volumes of its own. It is safe for concurrent use while Run runs.
type Writer struct {
	name      string
	placement placementv1.PlacementServiceClient
	peers     *peers.Peers
	topology  *nodes.Topology
	learn     func(*placementv1.Volume)
	log       *slog.Logger
	metrics   *writerMetrics

	pool      block.Pool
	memory    *limit.Bytes
	terms     *terms
	suspects  *suspects
	hedges    hedgeBudget
	latencies map[typesv1.VolumeClass]*peers.Latency
	announced atomic.Int64
	sealing   chan struct{}
	// stopping is closed when Run's context has ended.
	stopping chan struct{}

	// crew does background work, until everything is sealed or shutdownPatience is over; end cuts it short.
	crew *crew
	end  context.CancelFunc

	mu     sync.Mutex
	lanes  map[laneKey]*lane
	closed bool
}

// NewWriter makes a writer; Run must be running before it is used. Errors: no name, a metric's name is taken.
func NewWriter(c WriterConfig, d WriterDeps) (*Writer, error) {
	if c.Name == "" {
		return nil, errors.New("volume writer: it has no name")
	}
	if c.StripeMemory <= 0 {
		c.StripeMemory = defaultStripeMemory
	}
	memory, err := limit.NewBytes(limit.BytesOptions{Name: "stripes", Budget: c.StripeMemory, Metrics: d.Metrics})
	if err != nil {
		return nil, err //nolint:wrapcheck // says what it is about
	}
	life, end := context.WithCancel(context.Background())
	w := &Writer{
		name: c.Name, placement: d.Placement, peers: d.Peers, topology: d.Topology, learn: d.Learn, log: d.Log,
		memory: memory, terms: newTerms(c.Name, d.Placement, d.Log), lanes: make(map[laneKey]*lane),
		latencies: map[typesv1.VolumeClass]*peers.Latency{
			typesv1.VolumeClass_VOLUME_CLASS_PACKED: {}, typesv1.VolumeClass_VOLUME_CLASS_STREAM: {},
		},
		sealing: make(chan struct{}, sealsAtOnce), stopping: make(chan struct{}), crew: newCrew(life), end: end,
	}
	w.suspects = &suspects{
		writer: c.Name, placement: d.Placement, log: d.Log, start: w.crew.start,
		since: make(map[string]time.Time), reported: make(map[string]time.Time),
	}
	if w.metrics, err = newWriterMetrics(d.Metrics, w); err != nil {
		end()
		return nil, err
	}
	return w, nil
}

// Begun says that placement has granted this writer a term. It stays true while the writer is without one.
func (w *Writer) Begun() bool { return w.terms.begun() }

// Run keeps the writer's term and its volumes until ctx ends, then lets appends on their way come to their end and
// seals what is open, for shutdownPatience at most. It returns nil.
func (w *Writer) Run(ctx context.Context) error {
	defer w.end()
	// The term is kept while volumes are sealed, so it does not end with ctx.
	terms, stopTerms := context.WithCancel(w.crew.life)
	var keeping sync.WaitGroup
	keeping.Go(func() { w.terms.run(terms) })
	w.tend(ctx)
	w.stop() //nolint:contextcheck // as above
	stopTerms()
	keeping.Wait()
	return nil
}

// tend looks after the lanes until ctx ends.
func (w *Writer) tend(ctx context.Context) {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, l := range w.allLanes() {
			l.tend()
		}
		w.dropIdleLanes()
	}
}

// stop seals everything and waits for all background work.
func (w *Writer) stop() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	close(w.stopping)
	for _, l := range w.allLanes() {
		l.stop()
	}
	patience := time.AfterFunc(shutdownPatience, w.end)
	defer patience.Stop()
	w.crew.wait()
}

func (w *Writer) allLanes() []*lane {
	w.mu.Lock()
	defer w.mu.Unlock()
	lanes := make([]*lane, 0, len(w.lanes))
	for _, l := range w.lanes {
		lanes = append(lanes, l)
	}
	return lanes
}

// dropIdleLanes forgets lanes without volumes that nobody used for a while.
func (w *Writer) dropIdleLanes() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, l := range w.lanes {
		if l.idle() {
			delete(w.lanes, key)
			l.stop()
		}
	}
}

// lane finds or makes the lane of a class and a wanted scheme. Errors: INVALID_SCHEME, SHUTTING_DOWN, OVERLOADED.
func (w *Writer) lane(class typesv1.VolumeClass, scheme erasure.Scheme) (*lane, error) {
	if err := scheme.Validate(); err != nil {
		return nil, err //nolint:wrapcheck // names the scheme
	}
	key := laneKey{class: class, scheme: scheme}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "the writer stops")
	}
	if l := w.lanes[key]; l != nil {
		l.touch()
		return l, nil
	}
	if len(w.lanes) >= maxLanes {
		return nil, fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED,
			"%d schemes are being written already", len(w.lanes)).WithRetryAfter(openRetryAfter)
	}
	l := newLane(w, key)
	w.lanes[key] = l
	return l, nil
}

// Expect announces an upload that will Pack, from its admission on; call done right before Pack, or when it will not
// come: more than once is fine. While many are on their way, a batch waits for them for a moment, so announced uploads
// cost few syncs; a lone one waits for nobody.
func (w *Writer) Expect() (done func()) {
	w.announced.Add(1)
	var once atomic.Bool
	return func() {
		if once.CompareAndSwap(false, true) {
			w.announced.Add(-1)
		}
	}
}

// hedgeDelay is how long an append may take before its load goes to the standby, too.
func (w *Writer) hedgeDelay(class typesv1.VolumeClass) time.Duration {
	return max(hedgeLeast, hedgeMedians*w.latency(class).Median())
}

func (w *Writer) latency(class typesv1.VolumeClass) *peers.Latency { return w.latencies[class] }

// observe takes in how long an append took to be durable.
func (w *Writer) observe(class typesv1.VolumeClass, took time.Duration) {
	w.latency(class).Observe(took)
	w.metrics.seconds.WithLabelValues(className(class)).Observe(took.Seconds())
}
