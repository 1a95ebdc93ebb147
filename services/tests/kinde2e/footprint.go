package kinde2e

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// Footprint is what the idle mesh takes.
type Footprint struct {
	// Bytes are the working sets of all pods; Cores the processors they use, on average over the time measured.
	Bytes int64
	Cores float64
	// Of says the same by component.
	Of map[string]Usage
}

// Usage is what the pods of one component take.
type Usage struct {
	Pods  int
	Bytes int64
	Cores float64
}

// idleFor is how long the mesh is watched.
const idleFor = time.Minute

// reading is one look at the kubelets' books.
type reading struct {
	at    time.Time
	bytes map[string]int64
	// nanos is the processor time that a pod has used.
	nanos map[string]uint64
}

func (c *cluster) footprint(ctx context.Context) (Footprint, error) {
	before, err := c.usage(ctx)
	if err != nil {
		return Footprint{}, err
	}
	pause(ctx, idleFor)
	after, err := c.usage(ctx)
	if err != nil {
		return Footprint{}, err
	}
	f := Footprint{Of: map[string]Usage{}}
	seconds := after.at.Sub(before.at).Seconds()
	for pod, bytes := range after.bytes {
		component, _, _ := strings.Cut(strings.TrimPrefix(pod, release+"-"), "-")
		u := f.Of[component]
		u.Pods++
		u.Bytes += bytes
		cores := float64(after.nanos[pod]-before.nanos[pod]) / 1e9 / seconds
		u.Cores += cores
		f.Of[component] = u
		f.Bytes += bytes
		f.Cores += cores
	}
	return f, nil
}

// usage asks every Node's kubelet.
func (c *cluster) usage(ctx context.Context) (reading, error) {
	r := reading{at: time.Now(), bytes: map[string]int64{}, nanos: map[string]uint64{}}
	nodes, err := run(ctx, "kubectl", "get", "nodes", "-o", `jsonpath={range .items[*]}{.metadata.name}{"\n"}{end}`)
	if err != nil {
		return r, err
	}
	for _, node := range strings.Fields(nodes) {
		raw, err := run(ctx, "kubectl", "get", "--raw", "/api/v1/nodes/"+node+"/proxy/stats/summary")
		if err != nil {
			return r, err
		}
		var summary struct {
			Pods []struct {
				PodRef struct{ Name, Namespace string }
				CPU    struct{ UsageCoreNanoSeconds uint64 }
				Memory struct{ WorkingSetBytes int64 }
			}
		}
		if err := json.Unmarshal([]byte(raw), &summary); err != nil {
			return r, err
		}
		for _, p := range summary.Pods {
			if p.PodRef.Namespace == c.Namespace {
				r.bytes[p.PodRef.Name], r.nanos[p.PodRef.Name] = p.Memory.WorkingSetBytes, p.CPU.UsageCoreNanoSeconds
			}
		}
	}
	return r, nil
}
