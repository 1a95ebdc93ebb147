package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/drystone-store/drystone/services/tests/meshtest"
)

// TestRefusals: nonsense is refused by name before anything reaches a cluster.
func TestRefusals(t *testing.T) {
	for name, tt := range map[string]struct{ set, want string }{
		"unknown value":                 {"chunkservers=9", "additional properties 'chunkservers' not allowed"},
		"unknown value, deeper":         {"chunkserver.disks=9", "/chunkserver"},
		"no chunk-servers":              {"chunkserver.replicas=0", "/chunkserver/replicas"},
		"words for a number":            {"frontdoor.replicas=many", "/frontdoor/replicas"},
		"not a scheme":                  {"scheme=raid5", "/scheme"},
		"an even number of members":     {"etcd.replicas=2", "/etcd/replicas"},
		"one placement":                 {"placement.replicas=1", "/placement/replicas"},
		"no memory limit":               {"metadata.resources.limits.memory=null", "/metadata/resources/limits"},
		"a memory limit in milli-bytes": {"metadata.resources.limits.memory=512m", "/metadata/resources/limits/memory"},
		"a secret in values":            {"auth.token=hunter2", "/auth"},
		"a scheme wider than the disks": {"chunkserver.replicas=4", "rs-5-4 takes 9 disks, chunkserver.replicas × chunkserver.disksPerNode gives 4"},
		"TLS for no endpoints":          {"etcd.external.tlsSecret=x", "etcd.external.endpoints"},
		"a URL as an endpoint":          {"etcd.external.endpoints={https://e:2379}", "/etcd/external/endpoints/0"},
		"most below fewest":             {"frontdoor.autoscaling.enabled=true,frontdoor.autoscaling.maxReplicas=1", "maxReplicas (1) is below minReplicas (2)"},
		"an Ingress for nobody":         {"frontdoor.ingress.enabled=true", "frontdoor.ingress.hosts"},
		"a route from nowhere":          {"frontdoor.gatewayApi.enabled=true", "frontdoor.gatewayApi.parentRefs"},
		"a schedule":                    {"etcd.snapshot.schedule=sometimes", "/etcd/snapshot/schedule"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := template("--set", tt.set); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// TestBudgets: a zone's chunk-servers may be drained, and never more than every volume can do without.
func TestBudgets(t *testing.T) {
	for name, tt := range map[string]struct {
		set, component string
		want           int
	}{
		"nine of rs-5-4: a zone of three":          {"chunkserver.replicas=9", "chunkserver", 3},
		"twelve of rs-5-4: a zone of four":         {"chunkserver.replicas=12", "chunkserver", 4},
		"thirty of rs-5-4: a zone is more than m":  {"chunkserver.replicas=30", "chunkserver", 4},
		"six of rs-4-2: a zone of two":             {"chunkserver.replicas=6,scheme=rs-4-2", "chunkserver", 2},
		"three of rs-2-1: one":                     {"chunkserver.replicas=3,scheme=rs-2-1", "chunkserver", 1},
		"as said":                                  {"chunkserver.maxUnavailable=1", "chunkserver", 1},
		"three members of etcd: one":               {"etcd.replicas=3", "etcd", 1},
		"five members of etcd: two":                {"etcd.replicas=5", "etcd", 2},
		"one member: it may go, or nothing drains": {"etcd.replicas=1", "etcd", 1},
		"front-doors: one":                         {"frontdoor.replicas=5", "frontdoor", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, b := range of[policyv1.PodDisruptionBudget](t, objects(t, render(t, "--set", tt.set)), "PodDisruptionBudget") {
				if b.Labels["app.kubernetes.io/component"] == tt.component && b.Spec.MaxUnavailable.IntValue() != tt.want {
					t.Errorf("maxUnavailable %v, want %d", b.Spec.MaxUnavailable, tt.want)
				}
			}
		})
	}
}

// TestConfigurations lets the real binaries judge every configuration that is rendered.
func TestConfigurations(t *testing.T) {
	bin := meshtest.Build(t)
	each(t, func(t *testing.T, all []object) {
		for _, m := range of[corev1.ConfigMap](t, all, "ConfigMap") {
			component := m.Labels["app.kubernetes.io/component"]
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, []byte(m.Data["config.yaml"]), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(filepath.Join(bin, "drystone-"+component), "--config", file, "--check-config")
			cmd.Env = append(os.Environ(), "POD_NAME=drystone-x-0", "POD_IP=fd00::1", "NODE_NAME=worker.example", "ZONE=eu-1a")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s\n%s", component, err, out, m.Data["config.yaml"])
			}
		}
	})
}
