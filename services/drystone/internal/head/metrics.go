package head

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Gather is a prometheus.GathererFunc of etcd's own metrics. etcd registers them with the default registry, together
// with the process's, which the program's own registry has already.
func Gather() ([]*dto.MetricFamily, error) {
	all, err := prometheus.DefaultGatherer.Gather()
	var own []*dto.MetricFamily
	for _, family := range all {
		if strings.HasPrefix(family.GetName(), "etcd_") {
			own = append(own, family)
		}
	}
	return own, err
}
