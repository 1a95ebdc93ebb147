package chart

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// target is a host of the mesh in a configuration or an argument: drystone-<component>.store.svc or a pod before it.
var target = regexp.MustCompile(`drystone-([a-z]+)\.store\.svc[a-z.]*:([0-9]+)`)

// TestPoliciesAreTheArrows: who may talk to whom is exactly who is configured to, plus what no configuration says: front-doors
// and chunk-servers find each other through placement.
func TestPoliciesAreTheArrows(t *testing.T) {
	for _, name := range []string{"default", "kind", "old-kubernetes"} {
		t.Run(name, func(t *testing.T) {
			all := objects(t, render(t, renderings[name]...))
			want := map[string]bool{"frontdoor→chunkserver:7000": true}
			for _, m := range of[corev1.ConfigMap](t, all, "ConfigMap") {
				for _, hit := range target.FindAllStringSubmatch(m.Data["config.yaml"], -1) {
					want[arrow(m.Labels["app.kubernetes.io/component"], hit[1], hit[2])] = true
				}
			}
			for _, p := range pods(t, all) {
				for _, arg := range p.Spec.Containers[0].Args {
					for _, hit := range target.FindAllStringSubmatch(arg, -1) {
						want[arrow(p.Labels["app.kubernetes.io/component"], hit[1], hit[2])] = true
					}
				}
			}
			in, out := policies(t, all)
			compare(t, "ingress", want, in)
			compare(t, "egress", want, out)
		})
	}
}

func arrow(from, to, port string) string { return fmt.Sprintf("%s→%s:%s", from, to, port) }

func compare(t *testing.T, what string, want, got map[string]bool) {
	t.Helper()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("%s (-configured +allowed):\n%s", what, diff)
	}
}

// policies returns the arrows within the mesh that NetworkPolicies allow, as they allow them to come in and to go out.
func policies(t *testing.T, all []object) (in, out map[string]bool) {
	t.Helper()
	const component = "app.kubernetes.io/component"
	in, out = map[string]bool{}, map[string]bool{}
	for _, p := range of[networkingv1.NetworkPolicy](t, all, "NetworkPolicy") {
		self := p.Spec.PodSelector.MatchLabels[component]
		for _, rule := range p.Spec.Ingress {
			for _, peer := range rule.From {
				in[arrow(selected(peer.PodSelector), self, rule.Ports[0].Port.String())] = true
			}
		}
		for _, rule := range p.Spec.Egress {
			for _, peer := range rule.To {
				if peer.PodSelector != nil {
					out[arrow(self, selected(peer.PodSelector), rule.Ports[0].Port.String())] = true
				}
			}
		}
	}
	return in, out
}

func selected(s *metav1.LabelSelector) string { return s.MatchLabels["app.kubernetes.io/component"] }

// TestPortsOutside: DNS and the Kubernetes API are reached at the ports that values name, and at no others.
func TestPortsOutside(t *testing.T) {
	for name, want := range map[string]struct{ dns, api []string }{
		"old-kubernetes":  {[]string{"UDP/53", "TCP/53"}, []string{"TCP/443", "TCP/6443"}},
		"everything-else": {[]string{"UDP/53", "TCP/53", "UDP/5353", "TCP/5353"}, []string{"TCP/8443"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range of[networkingv1.NetworkPolicy](t, objects(t, render(t, renderings[name]...)), "NetworkPolicy") {
				component, got := p.Spec.PodSelector.MatchLabels["app.kubernetes.io/component"], [][]string(nil)
				for _, rule := range p.Spec.Egress {
					if len(rule.To) > 0 && rule.To[0].PodSelector != nil {
						continue // within the mesh
					}
					ports := []string{}
					for _, port := range rule.Ports {
						ports = append(ports, string(*port.Protocol)+"/"+port.Port.String())
					}
					got = append(got, ports)
				}
				all := [][]string{want.dns}
				if component == "secrets" || component == "chunkserver" {
					all = [][]string{want.api, want.dns}
				}
				if diff := cmp.Diff(all, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", component, diff)
				}
			}
		})
	}
}

// TestDefaultDeny: every pod is under exactly one policy, for both directions, and the pods of a policy exist.
func TestDefaultDeny(t *testing.T) {
	each(t, func(t *testing.T, all []object) {
		under := map[string]int{}
		for _, p := range of[networkingv1.NetworkPolicy](t, all, "NetworkPolicy") {
			under[p.Spec.PodSelector.MatchLabels["app.kubernetes.io/component"]]++
			if len(p.Spec.PolicyTypes) != 2 {
				t.Errorf("NetworkPolicy %s leaves a direction open", p.Name)
			}
		}
		have := map[string]int{}
		for _, p := range pods(t, all) {
			have[p.Labels["app.kubernetes.io/component"]] = 1
		}
		if len(under) > 0 { // unless switched off
			if diff := cmp.Diff(have, under); diff != "" {
				t.Errorf("components (-pods +policies):\n%s", diff)
			}
		}
	})
}

// TestNamesAgree: every Secret, ConfigMap, claim and account that a pod mentions is rendered, made by the Job, or the user's.
func TestNamesAgree(t *testing.T) {
	each(t, func(t *testing.T, all []object) {
		have := map[string]bool{"my-root": true, "my-etcd": true}
		for _, o := range all {
			have[o.Kind+"/"+o.Name] = true
		}
		for _, p := range pods(t, all) {
			for _, arg := range p.Spec.Containers[0].Args {
				if name, ok := strings.CutPrefix(arg, "--root-secret="); ok {
					have[name] = true
				}
				if name, ok := strings.CutPrefix(arg, "--etcd-secret="); ok {
					have[name] = true
				}
			}
		}
		for _, p := range pods(t, all) {
			if account := p.Spec.ServiceAccountName; account != "" && !have["ServiceAccount/"+account] {
				t.Errorf("%s: no ServiceAccount %s", p.owner, account)
			}
			for _, v := range p.Spec.Volumes {
				switch {
				case v.Secret != nil && !have[v.Secret.SecretName]:
					t.Errorf("%s: no Secret %s", p.owner, v.Secret.SecretName)
				case v.ConfigMap != nil && !have["ConfigMap/"+v.ConfigMap.Name]:
					t.Errorf("%s: no ConfigMap %s", p.owner, v.ConfigMap.Name)
				case v.PersistentVolumeClaim != nil && !have["PersistentVolumeClaim/"+v.PersistentVolumeClaim.ClaimName]:
					t.Errorf("%s: no claim %s", p.owner, v.PersistentVolumeClaim.ClaimName)
				}
			}
		}
	})
}
