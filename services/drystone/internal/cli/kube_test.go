package cli

import (
	"strings"
	"testing"
)

func TestKubeInitWords(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, c := range []struct {
		line string
		code int
		says string
	}{
		{"kube", exitDone, "init"},
		{"kube nonsense", exitUsage, `no command "kube nonsense"`},
		{"kube init", exitUsage, "nothing to make"},
		{"kube init x", exitUsage, "wrong number"},
		{"kube init --root-secret a", exitFailed, "not in a Kubernetes pod"},
		{"kube init --root-secret a --label x", exitUsage, "NAME=VALUE"},
		{"kube init --etcd-secret a", exitUsage, "come together"},
		{"kube init --etcd-hosts a", exitUsage, "come together"},
		{"kube init --etcd-secret a --etcd-ca-secret a --etcd-hosts x", exitUsage, "different Secrets"},
		{"kube init --root-secret a --etcd-secret a --etcd-ca-secret b --etcd-hosts x", exitUsage, "different Secrets"},
		{"kube init --root-secret a --etcd-secret b --etcd-ca-secret a --etcd-hosts x", exitUsage, "different Secrets"},
	} {
		t.Run(c.line, func(t *testing.T) {
			if r := run(t, "", strings.Fields(c.line)...); r.code != c.code || !strings.Contains(r.out+r.err, c.says) {
				t.Errorf("%+v", r)
			}
		})
	}
	if r := run(t, "", "--help"); strings.Contains(r.out, "kube") {
		t.Errorf("people are shown it: %s", r.out)
	}
}
