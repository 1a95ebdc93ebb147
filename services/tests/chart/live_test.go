package chart

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// upgrade renders the chart as `helm upgrade` does, on a cluster where these components run: component → replicas.
func upgrade(t *testing.T, running map[string]int, set string) ([]byte, error) {
	t.Helper()
	var known []object
	for _, name := range []string{"default", "everything-else"} {
		raw, err := os.ReadFile(golden(name + ".golden.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, objects(t, raw)...)
	}
	answers := kubernetes(known)
	for component, n := range running {
		kind := "StatefulSet"
		if component == "frontdoor" || component == "metadata" {
			kind = "Deployment"
		}
		answers["/apis/apps/v1/namespaces/store/"+strings.ToLower(kind)+"s/drystone-"+component] = map[string]any{
			"apiVersion": "apps/v1", "kind": kind, "metadata": map[string]any{"name": "drystone-" + component, "namespace": "store"},
			"spec": map[string]any{"replicas": n},
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		w.Header().Set("Content-Type", "application/json")
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = metav1.Status{Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	return template("--set", set, "--dry-run=server", "--is-upgrade", "--disable-openapi-validation",
		"--kubeconfig", "/dev/null", "--kube-apiserver", server.URL)
}

// kubernetes answers, by path, what a cluster says of itself that knows the kinds of these objects.
func kubernetes(all []object) map[string]any {
	answers := map[string]any{
		"/version": version.Info{Major: "1", Minor: "36", GitVersion: "v" + newest},
		"/api":     metav1.APIVersions{Versions: []string{"v1"}},
	}
	var groups metav1.APIGroupList
	resources := map[string]*metav1.APIResourceList{}
	for _, o := range all {
		gv, path := schema.FromAPIVersionAndKind(o.APIVersion, o.Kind).GroupVersion(), "/api/v1"
		if gv.Group != "" {
			path = "/apis/" + o.APIVersion
		}
		if resources[path] == nil {
			resources[path] = &metav1.APIResourceList{GroupVersion: o.APIVersion}
			answers[path] = resources[path]
			if gv.Group != "" {
				v := metav1.GroupVersionForDiscovery{GroupVersion: o.APIVersion, Version: gv.Version}
				groups.Groups = append(groups.Groups, metav1.APIGroup{Name: gv.Group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v})
			}
		}
		resources[path].APIResources = append(resources[path].APIResources, metav1.APIResource{
			Name: strings.ToLower(o.Kind) + "s", Kind: o.Kind, Namespaced: o.Namespace != "",
		})
	}
	answers["/apis"] = groups
	return answers
}

// TestUpgradeRefusals: what runs holds data, which is not thrown away by a number that was forgotten.
func TestUpgradeRefusals(t *testing.T) {
	nine := map[string]int{"chunkserver": 9, "etcd": 3}
	for name, tt := range map[string]struct {
		running map[string]int
		set     string
		want    string // part of the error; empty: none
	}{
		"nothing runs":                   {nil, "chunkserver.replicas=9", ""},
		"as before":                      {nine, "chunkserver.replicas=9", ""},
		"more chunk-servers":             {nine, "chunkserver.replicas=12", ""},
		"more members":                   {nine, "etcd.replicas=5", ""},
		"fewer chunk-servers":            {map[string]int{"chunkserver": 12}, "chunkserver.replicas=9", "StatefulSet drystone-chunkserver has 12 and 9 are asked for"},
		"fewer members":                  {map[string]int{"etcd": 5}, "etcd.replicas=3", "StatefulSet drystone-etcd has 5 and 3 are asked for"},
		"an etcd that is not ours":       {nine, "etcd.replicas=1,etcd.external.endpoints={e:2379}", ""},
		"fewer placements, without data": {map[string]int{"placement": 3}, "placement.replicas=2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := upgrade(t, tt.running, tt.set)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// TestAutoscalingKeepsPods: a Deployment that is handed to the autoscaler keeps its pods until that decides.
func TestAutoscalingKeepsPods(t *testing.T) {
	const set = "frontdoor.autoscaling.enabled=true,metadata.autoscaling.enabled=true,metadata.autoscaling.minReplicas=3"
	for name, tt := range map[string]struct {
		running             map[string]int
		frontdoor, metadata int
	}{
		"first install":        {nil, 2, 3},
		"more than the fewest": {map[string]int{"frontdoor": 7, "metadata": 4}, 7, 4},
		"less than the fewest": {map[string]int{"frontdoor": 1, "metadata": 2}, 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := upgrade(t, tt.running, set)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			for _, p := range serving(t, objects(t, out)) {
				got[p.component] = p.replicas
			}
			if got["frontdoor"] != tt.frontdoor || got["metadata"] != tt.metadata {
				t.Errorf("%d front-doors and %d metadata, want %d and %d", got["frontdoor"], got["metadata"], tt.frontdoor, tt.metadata)
			}
		})
	}
}

// TestNotes: who installs a store of which a zone cannot be drained at once is told.
func TestNotes(t *testing.T) {
	const warning = "`kubectl drain` of it does not end"
	for set, want := range map[string]bool{
		"chunkserver.replicas=9":                               false,
		"chunkserver.replicas=12":                              false,
		"chunkserver.replicas=13":                              true,
		"chunkserver.replicas=13,chunkserver.maxUnavailable=5": false,
		"chunkserver.replicas=9,chunkserver.leastParity=2":     true,
		"chunkserver.replicas=4,chunkserver.disksPerNode=3":    true,
	} {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(helm, "install", "drystone", folder, "--dry-run=client", "--kubeconfig", "/dev/null", "--set", set)
			out, err := cmd.CombinedOutput()
			_, notes, ok := strings.Cut(string(out), "\nNOTES:\n")
			if err != nil || !ok {
				t.Fatalf("%v: %s", err, out)
			}
			if strings.Contains(notes, warning) != want {
				t.Errorf("want a warning: %v, got:\n%s", want, notes)
			}
		})
	}
}
