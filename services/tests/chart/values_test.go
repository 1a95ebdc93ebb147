package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

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
		"chunk-servers that are too full": {
			"scheme=rs-8-2,chunkserver.replicas=3,chunkserver.disksPerNode=4",
			"3 hold up to 4 columns of a volume each, and volumes can do without 2",
		},
		"chunk-servers that are too full for a bucket": {
			"chunkserver.replicas=6,chunkserver.disksPerNode=2,chunkserver.leastParity=1",
			"6 hold up to 2 columns of a volume each, and volumes can do without 1",
		},
		"least parity above the default's": {"chunkserver.leastParity=5", "leastParity: 5 is above the m of rs-5-4"},
		"a majority of etcd":               {"etcd.maxUnavailable=2", "etcd.maxUnavailable: 2 of 3 members is more than 1"},
		"a majority of etcd in percent":    {"etcd.replicas=5,etcd.maxUnavailable=50%", "etcd.maxUnavailable: 50% of 5 members is more than 2"},
		"more than all":                    {"frontdoor.maxUnavailable=101%", "/frontdoor/maxUnavailable"},
		"disks that go with chunk-servers": {"chunkserver.storage.whenScaled=Delete", "/chunkserver/storage"},
		"no ports, which would be all":     {"networkPolicy.apiPorts={}", "/networkPolicy/apiPorts"},
		"ports that are not there":         {"networkPolicy.dnsPorts=null", "missing property 'dnsPorts'"},
		"no ports of DNS, which'd be all":  {"networkPolicy.dnsPorts={}", "/networkPolicy/dnsPorts"},
		"a name for a port":                {"networkPolicy.dnsPorts={dns}", "/networkPolicy/dnsPorts/0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := template("--set", tt.set); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
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
