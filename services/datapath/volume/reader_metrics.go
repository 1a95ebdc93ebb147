package volume

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// readerMetrics count what reads cost.
type readerMetrics struct {
	reads, bytes, degraded, decodes, decodedBytes, refreshes prometheus.Counter
	// lost counts chunks that a read had to do without, by reason: a name of the enum, LATE or OTHER.
	lost *prometheus.CounterVec
}

func newReaderMetrics(r prometheus.Registerer) (*readerMetrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "drystone_volume_" + name + "_total", Help: help})
	}
	m := &readerMetrics{
		reads:        counter("reads", "Reads of byte ranges of volumes."),
		bytes:        counter("read_bytes", "Bytes that reads emitted."),
		degraded:     counter("degraded_reads", "Reads that had to decode."),
		decodes:      counter("decodes", "Stripes of which something was decoded."),
		decodedBytes: counter("decoded_bytes", "Bytes that were computed instead of read."),
		refreshes:    counter("read_refreshes", "Map entries that reads found to be old."),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drystone_volume_read_lost_total", Help: "Chunks that reads did without, by reason.",
		}, []string{"reason"}),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.reads, m.bytes, m.degraded, m.decodes, m.decodedBytes, m.refreshes, m.lost} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *readerMetrics) decoded(bytes int) {
	m.decodes.Inc()
	m.decodedBytes.Add(float64(bytes))
}

func (m *readerMetrics) lose(cause error) {
	reason := fault.Reason(cause)
	name := fault.Name(reason)
	switch {
	case errors.Is(cause, errLate):
		name = "LATE"
	case reason == typesv1.Reason_REASON_UNSPECIFIED:
		name = "OTHER"
	}
	m.lost.WithLabelValues(name).Inc()
}
