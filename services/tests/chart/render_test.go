package chart

import (
	"bytes"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite goldens from what the chart renders now")

const (
	root   = "../../.."
	folder = root + "/charts/drystone"
	helm   = root + "/.bin/helm"
	// newest is what the chart is rendered for unless a case says otherwise.
	newest = "1.36.0"
)

// renderings are value sets that together touch every template and every branch of consequence.
var renderings = map[string][]string{
	"default":         nil,
	"kind":            {"-f", folder + "/values-kind.yaml"},
	"ha":              {"-f", folder + "/values-ha.yaml"},
	"old-kubernetes":  {"--kube-version", "1.32.0"},
	"external-etcd":   {"--set", "etcd.external.endpoints={etcd-0.example:2379,etcd-1.example:2379},etcd.external.tlsSecret=my-etcd,auth.existingSecret=my-root"},
	"everything-else": {"-f", "testdata/everything-else.values.yaml"},
}

// render returns the chart's manifests for a release "drystone" in a namespace "store".
func render(t testing.TB, args ...string) []byte {
	t.Helper()
	out, err := template(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func template(args ...string) ([]byte, error) {
	cmd := exec.Command(helm, append([]string{"template", "drystone", folder, "--namespace", "store", "--kube-version", newest}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("helm template: %w: %s", err, &stderr)
	}
	return stdout.Bytes(), nil
}

// object is any manifest.
type object struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	raw []byte
}

func objects(t testing.TB, manifests []byte) []object {
	t.Helper()
	var out []object
	for document := range bytes.SplitSeq(manifests, []byte("\n---\n")) {
		var o object
		if err := yaml.Unmarshal(document, &o); err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		if o.Kind != "" {
			o.raw = document
			out = append(out, o)
		}
	}
	return out
}

// of returns the objects of a kind, decoded strictly.
func of[T any](t testing.TB, all []object, kind string) []T {
	t.Helper()
	var out []T
	for _, o := range all {
		if o.Kind != kind {
			continue
		}
		var v T
		if err := yaml.UnmarshalStrict(o.raw, &v); err != nil {
			t.Fatalf("%s %s: %v", kind, o.Name, err)
		}
		out = append(out, v)
	}
	return out
}

// pod is the template of pods of one object.
type pod struct {
	owner     string
	component string
	hook      bool
	// replicas are 1 where the object has no such field.
	replicas int
	corev1.PodTemplateSpec
}

// pods are all that the manifests would run.
func pods(t testing.TB, all []object) []pod {
	t.Helper()
	var out []pod
	add := func(kind string, m metav1.ObjectMeta, p corev1.PodTemplateSpec, replicas ...*int32) {
		n := 1
		if len(replicas) > 0 && replicas[0] != nil {
			n = int(*replicas[0])
		}
		out = append(out, pod{
			owner: kind + " " + m.Name, component: m.Labels["app.kubernetes.io/component"],
			hook: m.Annotations["helm.sh/hook"] != "", replicas: n, PodTemplateSpec: p,
		})
	}
	for _, d := range of[appsv1.Deployment](t, all, "Deployment") {
		add("Deployment", d.ObjectMeta, d.Spec.Template, d.Spec.Replicas)
	}
	for _, s := range of[appsv1.StatefulSet](t, all, "StatefulSet") {
		add("StatefulSet", s.ObjectMeta, s.Spec.Template, s.Spec.Replicas)
	}
	for _, j := range of[batchv1.Job](t, all, "Job") {
		add("Job", j.ObjectMeta, j.Spec.Template)
	}
	for _, c := range of[batchv1.CronJob](t, all, "CronJob") {
		add("CronJob", c.ObjectMeta, c.Spec.JobTemplate.Spec.Template)
	}
	for _, p := range of[corev1.Pod](t, all, "Pod") {
		add("Pod", p.ObjectMeta, corev1.PodTemplateSpec{ObjectMeta: p.ObjectMeta, Spec: p.Spec})
	}
	slices.SortFunc(out, func(a, b pod) int { return strings.Compare(a.owner, b.owner) })
	return out
}

// each runs a test for every rendering.
func each(t *testing.T, test func(t *testing.T, all []object)) {
	t.Helper()
	for name, args := range renderings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, objects(t, render(t, args...)))
		})
	}
}

func golden(name string) string { return filepath.Join("testdata", name) }
