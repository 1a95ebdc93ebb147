package chart

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// TestRestricted evaluates every pod by the code of Kubernetes' own admission, at the strictest level.
func TestRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	each(t, func(t *testing.T, all []object) {
		for _, p := range pods(t, all) {
			for _, result := range evaluator.EvaluatePod(restricted, &p.ObjectMeta, &p.Spec) {
				if !result.Allowed {
					t.Errorf("%s: %s: %s", p.owner, result.ForbiddenReason, result.ForbiddenDetail)
				}
			}
		}
	})
	loose := corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}
	if slices.IndexFunc(evaluator.EvaluatePod(restricted, new(metav1.ObjectMeta), &loose), func(r policy.CheckResult) bool { return !r.Allowed }) < 0 {
		t.Error("a pod without any security context passes: this test cannot fail")
	}
}

// TestContainers: what every container must have, whatever Pod Security says.
func TestContainers(t *testing.T) {
	each(t, func(t *testing.T, all []object) {
		for _, p := range pods(t, all) {
			if p.Spec.AutomountServiceAccountToken == nil && p.component != "secrets" || p.Spec.EnableServiceLinks == nil {
				t.Errorf("%s: the service account's token, or service links, are not decided about", p.owner)
			}
			for i := range p.Spec.Containers {
				checkContainer(t, p.owner, &p.Spec.Containers[i])
			}
		}
	})
}

func checkContainer(t *testing.T, owner string, c *corev1.Container) {
	t.Helper()
	if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
		t.Errorf("%s: the root file system of %s can be written", owner, c.Name)
	}
	limit := c.Resources.Limits.Memory().Value()
	if limit == 0 || c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
		t.Errorf("%s: %s has no memory limit, or no requests", owner, c.Name)
	}
	at := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
	if at < 0 {
		t.Errorf("%s: %s has no GOMEMLIMIT", owner, c.Name)
	} else if got, _ := strconv.ParseInt(c.Env[at].Value, 10, 64); got != limit*9/10 {
		t.Errorf("%s: GOMEMLIMIT of %s is %s, want nine tenths of %d", owner, c.Name, c.Env[at].Value, limit)
	}
	if _, tag, _ := strings.Cut(c.Image, ":"); tag == "" || tag == "latest" {
		t.Errorf("%s: image %s has no exact tag", owner, c.Image)
	}
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			t.Errorf("%s: %s has a secret in its environment, where every child and dump sees it", owner, c.Name)
		}
	}
}

// TestProbes: liveness asks what no dependency can make fail; only what serves has probes.
func TestProbes(t *testing.T) {
	alone := []string{"/healthz", "/livez"}
	each(t, func(t *testing.T, all []object) {
		for _, p := range pods(t, all) {
			serves := strings.HasPrefix(p.owner, "Deployment") || strings.HasPrefix(p.owner, "StatefulSet")
			for _, c := range p.Spec.Containers {
				if !serves {
					continue
				}
				if c.StartupProbe == nil || c.LivenessProbe == nil || c.ReadinessProbe == nil {
					t.Errorf("%s: a probe is missing", p.owner)
					continue
				}
				if path := c.LivenessProbe.HTTPGet.Path; !slices.Contains(alone, path) {
					t.Errorf("%s: liveness asks %s", p.owner, path)
				}
				if path := c.ReadinessProbe.HTTPGet.Path; path != "/readyz" {
					t.Errorf("%s: readiness asks %s", p.owner, path)
				}
			}
		}
	})
}

// TestNoSecretIsRendered: secrets are made in the cluster and referred to. What is rendered is kept in the release, shown
// by `helm get` and often committed.
func TestNoSecretIsRendered(t *testing.T) {
	each(t, func(t *testing.T, all []object) {
		for _, o := range all {
			if o.Kind == "Secret" {
				t.Errorf("Secret %s is rendered", o.Name)
			}
		}
	})
}

// TestRights: only the Jobs that make Secrets and renew certificates may do anything in the cluster, the latter nothing that is
// not bound to names, since it stays; and chunk-servers of old clusters may look at Nodes.
func TestRights(t *testing.T) {
	each(t, func(t *testing.T, all []object) {
		for _, r := range of[rbacv1.Role](t, all, "Role") {
			for _, rule := range r.Rules {
				hook := r.Annotations["helm.sh/hook"] != ""
				named := len(rule.ResourceNames) > 0 || hook && slices.Equal(rule.Verbs, []string{"create"})
				if r.Labels["app.kubernetes.io/component"] != "secrets" || !slices.Equal(rule.Resources, []string{"secrets"}) || !named {
					t.Errorf("Role %s: %v", r.Name, rule)
				}
			}
		}
		for _, r := range of[rbacv1.ClusterRole](t, all, "ClusterRole") {
			if len(r.Rules) != 1 || !slices.Equal(r.Rules[0].Verbs, []string{"get"}) || !slices.Equal(r.Rules[0].Resources, []string{"nodes"}) {
				t.Errorf("ClusterRole %s: %v", r.Name, r.Rules)
			}
		}
	})
	if n := len(of[rbacv1.ClusterRole](t, objects(t, render(t)), "ClusterRole")); n != 0 {
		t.Errorf("%d ClusterRoles on a cluster whose pods know their zone", n)
	}
}
