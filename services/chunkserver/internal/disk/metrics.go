package disk

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drystone-store/drystone/services/kit/telemetry"
)

// Metrics are those of a node's disks.
type Metrics struct {
	node string

	syncs, frames, written, read, scrubbed, refusedReads *prometheus.CounterVec
	syncSeconds                                          *prometheus.HistogramVec
	state, free, capacity, chunks, damaged, scrubAge     *prometheus.GaugeVec
}

// NewMetrics registers the metrics of a node's disks; several nodes of one process share them, by label. Errors: another
// metric has a name.
func NewMetrics(r prometheus.Registerer, node string) (*Metrics, error) {
	m := &Metrics{node: node}
	labels := []string{"node", "disk"}
	counter := func(to **prometheus.CounterVec, name, help string) error {
		var err error
		*to, err = telemetry.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drystone_chunkserver_" + name, Help: help,
		}, labels))
		return err
	}
	gauge := func(to **prometheus.GaugeVec, name, help string) error {
		var err error
		*to, err = telemetry.Register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "drystone_chunkserver_" + name, Help: help,
		}, labels))
		return err
	}
	var err error
	m.syncSeconds, err = telemetry.Register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "drystone_chunkserver_sync_seconds",
		Help:    "Duration of group syncs of chunk files.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12), // 0.1 ms to 2.4 s
	}, labels))
	for _, e := range []error{
		err,
		counter(&m.syncs, "syncs_total", "Group syncs of chunk files."),
		counter(&m.frames, "frames_total", "Frames made durable."),
		counter(&m.written, "written_bytes_total", "Bytes of frames made durable, headers and padding included."),
		counter(&m.read, "read_bytes_total", "Bytes answered to reads."),
		counter(&m.scrubbed, "scrubbed_bytes_total", "Bytes verified past the page cache."),
		counter(&m.refusedReads, "damaged_reads_total", "Reads that met damage."),
		gauge(&m.state, "disk_state", "0 good, 1 full, 2 read-only, 3 failed."),
		gauge(&m.free, "disk_free_bytes", "Space that writers may still use."),
		gauge(&m.capacity, "disk_capacity_bytes", "Size of the file system."),
		gauge(&m.chunks, "chunks", "Chunks on the disk."),
		gauge(&m.damaged, "damaged_frames", "Frames known to be damaged."),
		gauge(&m.scrubAge, "scrub_age_seconds", "Time since the chunk that waits longest was verified, or made."),
	} {
		if e != nil {
			return nil, e
		}
	}
	return m, nil
}

// diskMetrics are those of one disk, looked up once.
type diskMetrics struct {
	syncs, frames, written, read, scrubbed, refusedReads prometheus.Counter
	syncSeconds                                          prometheus.Observer
	state, free, capacity, chunks, damaged, scrubAge     prometheus.Gauge
}

func (m *Metrics) of(disk string) *diskMetrics {
	c := func(v *prometheus.CounterVec) prometheus.Counter { return v.WithLabelValues(m.node, disk) }
	g := func(v *prometheus.GaugeVec) prometheus.Gauge { return v.WithLabelValues(m.node, disk) }
	return &diskMetrics{
		syncs: c(m.syncs), frames: c(m.frames), written: c(m.written), read: c(m.read), scrubbed: c(m.scrubbed),
		refusedReads: c(m.refusedReads), syncSeconds: m.syncSeconds.WithLabelValues(m.node, disk),
		state: g(m.state), free: g(m.free), capacity: g(m.capacity), chunks: g(m.chunks), damaged: g(m.damaged),
		scrubAge: g(m.scrubAge),
	}
}

func (m *diskMetrics) synced(frames int, bytes int64, took time.Duration) {
	m.syncs.Inc()
	m.frames.Add(float64(frames))
	m.written.Add(float64(bytes))
	m.syncSeconds.Observe(took.Seconds())
}
