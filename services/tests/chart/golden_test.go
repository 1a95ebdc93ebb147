package chart

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGoldens shows in a review what a change of the chart does to a cluster.
func TestGoldens(t *testing.T) {
	for name, args := range renderings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := render(t, args...)
			path := golden(name + ".golden.yaml")
			if *update {
				if err := os.WriteFile(path, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("`make golden` rewrites it (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLint runs `helm lint --strict` with every set of values that the chart comes with.
func TestLint(t *testing.T) {
	for _, values := range []string{"values.yaml", "values-kind.yaml", "values-ha.yaml"} {
		out, err := exec.Command(helm, "lint", "--strict", folder, "-f", folder+"/"+values).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", values, err, out)
		}
	}
}

// TestSchemas checks every object, field by field, against Kubernetes' own schemas.
func TestSchemas(t *testing.T) {
	check := func(manifests []byte) ([]byte, error) {
		cmd := exec.Command(root+"/.bin/kubeconform", "-strict", "-summary",
			"-schema-location", root+"/charts/schemas/{{ .ResourceKind }}{{ .KindSuffix }}.json")
		cmd.Stdin = bytes.NewReader(manifests)
		return cmd.CombinedOutput()
	}
	for name, args := range renderings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			manifests := render(t, args...)
			if out, err := check(manifests); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			broken := bytes.Replace(manifests, []byte("terminationGracePeriodSeconds"), []byte("terminationGrace"), 1)
			if out, err := check(broken); err == nil {
				t.Errorf("a field that Kubernetes does not know passes:\n%s", out)
			}
		})
	}
}
