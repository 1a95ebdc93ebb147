package chart

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const (
	zoneKey = "topology.kubernetes.io/zone"
	hostKey = "kubernetes.io/hostname"
)

// hard returns the least skew of a key beyond which pods wait; 0: they never do.
func hard(p pod, key string) int {
	least := 0
	for _, c := range p.Spec.TopologySpreadConstraints {
		if c.TopologyKey == key && c.WhenUnsatisfiable == corev1.DoNotSchedule && (least == 0 || int(c.MaxSkew) < least) {
			least = int(c.MaxSkew)
		}
	}
	return least
}

// TestReplicasAreApart: two replicas on one machine, or in one zone, are lost together.
func TestReplicasAreApart(t *testing.T) {
	each(t, func(t *testing.T, all []object) {
		strict := true // unless spread says otherwise, for all
		for _, p := range serving(t, all) {
			strict = strict && hard(p, zoneKey) > 0
		}
		for _, p := range serving(t, all) {
			kinds := map[string]bool{}
			even := false
			for _, c := range p.Spec.TopologySpreadConstraints {
				kind := c.TopologyKey + " " + string(c.WhenUnsatisfiable)
				if kinds[kind] {
					t.Errorf("%s: two constraints are %s, which Kubernetes refuses", p.owner, kind)
				}
				kinds[kind] = true
				even = even || c.TopologyKey == zoneKey && c.MaxSkew == 1
				if c.TopologyKey == zoneKey && *c.NodeTaintsPolicy != corev1.NodeInclusionPolicyHonor {
					t.Errorf("%s: a drained zone keeps others from getting pods", p.owner)
				}
				if c.TopologyKey == hostKey && c.WhenUnsatisfiable == corev1.DoNotSchedule && *c.NodeTaintsPolicy != corev1.NodeInclusionPolicyIgnore {
					t.Errorf("%s: replicas share a machine when others are drained", p.owner)
				}
			}
			if !even {
				t.Errorf("%s: replicas are not spread over zones", p.owner)
			}
			if apart := hard(p, hostKey) == 1; apart != (strict && p.component != "chunkserver") {
				t.Errorf("%s: replicas must be on machines of their own: %v", p.owner, apart)
			}
		}
	})
}

// TestSpreadCanBeSoft: where Nodes have no zones, or are few, nothing waits.
func TestSpreadCanBeSoft(t *testing.T) {
	for _, p := range serving(t, objects(t, render(t, "--set", "spread=ScheduleAnyway"))) {
		if hard(p, zoneKey) != 0 || hard(p, hostKey) != 0 {
			t.Errorf("%s waits: %v", p.owner, p.Spec.TopologySpreadConstraints)
		}
	}
}

// TestPinnedPodsComeBack: a pod whose volume is in a zone can only go back there, whatever became of other zones meanwhile: some
// of a zone's workers are drained, all of them and one that is free, or a Node of a fourth zone was added.
func TestPinnedPodsComeBack(t *testing.T) {
	for _, set := range []string{"etcd.replicas=3", "etcd.replicas=5", "chunkserver.replicas=10", "chunkserver.replicas=12", "scheme=rs-1-1,chunkserver.replicas=2"} {
		for _, p := range serving(t, objects(t, render(t, "--set", set))) {
			if p.component != "chunkserver" && p.component != "etcd" {
				continue
			}
			zones := []int{(p.replicas + 2) / 3, (p.replicas + 1) / 3, p.replicas / 3}
			skew := hard(p, zoneKey)
			if skew == 0 || skew > zones[0] {
				t.Errorf("%s: %s: %d of %d may be in one zone", set, p.owner, skew, p.replicas)
			}
			for left := range zones[2] + 1 {
				// As the scheduler counts: itself, the others of its zone, less those of the zone that has fewest.
				if 1+(zones[0]-1)-left > skew {
					t.Errorf("%s: %s waits when another zone has %d", set, p.owner, left)
				}
			}
		}
	}
}

// serving are the pods that are there all the time.
func serving(t *testing.T, all []object) []pod {
	t.Helper()
	return slices.DeleteFunc(pods(t, all), func(p pod) bool {
		return !strings.HasPrefix(p.owner, "Deployment") && !strings.HasPrefix(p.owner, "StatefulSet")
	})
}
