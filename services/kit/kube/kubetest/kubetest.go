// Package kubetest is the part of the Kubernetes API that kit/kube uses, over memory and TLS, for tests.
package kubetest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/drystone-store/drystone/services/kit/kube"
)

// What the API knows the caller by.
const (
	Namespace = "store"
	Token     = "service-account-token"
)

// object is an object as the API stores it.
type object struct {
	APIVersion string            `json:"apiVersion,omitempty"`
	Kind       string            `json:"kind,omitempty"`
	Metadata   metadata          `json:"metadata"`
	Type       string            `json:"type,omitempty"`
	Data       map[string][]byte `json:"data,omitempty"`
}

type metadata struct {
	Name            string            `json:"name,omitempty"`
	Namespace       string            `json:"namespace,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
}

// API is a fake API server.
type API struct {
	// Folder is like the folder that the kubelet mounts: token, ca.crt, namespace.
	Folder string
	// Address is `host:port`.
	Address string

	mu      sync.Mutex
	version int
	nodes   map[string]object
	secrets map[string]object
	denied  []string
	before  func(verb, name string)
	calls   []string
}

// Start runs a fake API server for the length of a test.
func Start(t testing.TB) *API {
	t.Helper()
	a := &API{Folder: t.TempDir(), nodes: map[string]object{}, secrets: map[string]object{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/nodes/{name}", a.call("get", "nodes", a.node))
	mux.HandleFunc("GET /api/v1/namespaces/"+Namespace+"/secrets/{name}", a.call("get", "secrets", a.get))
	mux.HandleFunc("POST /api/v1/namespaces/"+Namespace+"/secrets", a.call("create", "secrets", a.create))
	mux.HandleFunc("PATCH /api/v1/namespaces/"+Namespace+"/secrets/{name}", a.call("patch", "secrets", a.patch))
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	a.Address = server.Listener.Addr().String()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, data := range map[string][]byte{"ca.crt": ca, "namespace": []byte(Namespace), "token": []byte(Token + "\n")} {
		if err := os.WriteFile(filepath.Join(a.Folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// Client is a client of the fake.
func (a *API) Client(t testing.TB) *kube.Client {
	t.Helper()
	c, err := kube.New(kube.Options{
		Address: a.Address, CAFile: filepath.Join(a.Folder, "ca.crt"), TokenFile: filepath.Join(a.Folder, "token"), Namespace: Namespace,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Deny takes a right from the caller, `get nodes`.
func (a *API) Deny(right string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.denied = append(a.denied, right)
}

// Before makes the fake call f before each call that it serves, without its lock: what f does comes in between.
func (a *API) Before(f func(verb, name string)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.before = f
}

// Calls lists what was asked so far, `patch secrets a`.
func (a *API) Calls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

// PutNode stores a Node past the API.
func (a *API) PutNode(name string, labels map[string]string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nodes[name] = object{APIVersion: "v1", Kind: "Node", Metadata: metadata{Name: name, Labels: labels}}
}

// PutSecret stores a Secret past the API, as somebody else would: with an annotation. It replaces what was there.
func (a *API) PutSecret(name string, data map[string][]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.store(object{
		APIVersion: "v1", Kind: "Secret", Type: "Opaque", Data: maps.Clone(data),
		Metadata: metadata{Name: name, Annotations: map[string]string{"owner": "somebody"}},
	})
}

// Secret reads a Secret's keys, labels and annotations past the API; its keys are nil when there is none.
func (a *API) Secret(name string) (data map[string][]byte, labels, annotations map[string]string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.secrets[name]
	return maps.Clone(o.Data), maps.Clone(o.Metadata.Labels), maps.Clone(o.Metadata.Annotations)
}

func (a *API) store(o object) object {
	a.version++
	o.Metadata.Namespace, o.Metadata.ResourceVersion = Namespace, strconv.Itoa(a.version)
	a.secrets[o.Metadata.Name] = o
	return o
}

// status is an answer: an object, or a refusal.
type status struct {
	code    int
	reason  string
	message string
	object  object
}

// call checks the token and the caller's rights, and answers with what handle finds.
func (a *API) call(verb, resource string, handle func(name string, sent object) status) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		var sent object
		if r.Body != http.NoBody {
			if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
				write(w, status{code: http.StatusBadRequest, reason: "BadRequest", message: err.Error()})
				return
			}
		}
		if name == "" {
			name = sent.Metadata.Name
		}
		a.mu.Lock()
		before := a.before
		a.mu.Unlock()
		if before != nil {
			before(verb, name)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.calls = append(a.calls, verb+" "+resource+" "+name)
		switch {
		case r.Header.Get("Authorization") != "Bearer "+Token:
			write(w, status{code: http.StatusUnauthorized, reason: "Unauthorized", message: "Unauthorized"})
		case verb == "patch" && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/merge-patch+json"):
			write(w, status{code: http.StatusUnsupportedMediaType, reason: "UnsupportedMediaType", message: "not a merge patch"})
		case slices.Contains(a.denied, verb+" "+resource):
			write(w, status{code: http.StatusForbidden, reason: "Forbidden", message: fmt.Sprintf(
				`%s %q is forbidden: User "system:serviceaccount:%s:drystone" cannot %s resource %q in API group ""`,
				resource, name, Namespace, verb, resource)})
		default:
			write(w, handle(name, sent))
		}
	}
}

func (a *API) node(name string, _ object) status { return found(a.nodes, "nodes", name) }

func (a *API) get(name string, _ object) status { return found(a.secrets, "secrets", name) }

func (a *API) create(name string, sent object) status {
	if _, ok := a.secrets[name]; ok {
		return status{code: http.StatusConflict, reason: "AlreadyExists", message: fmt.Sprintf("secrets %q already exists", name)}
	}
	sent.Metadata.Name = name
	return status{code: http.StatusCreated, object: a.store(sent)}
}

// patch is a JSON merge patch as far as kit/kube makes them: nothing is taken away.
func (a *API) patch(name string, sent object) status {
	s := found(a.secrets, "secrets", name)
	if s.code != http.StatusOK {
		return s
	}
	if v := sent.Metadata.ResourceVersion; v != "" && v != s.object.Metadata.ResourceVersion {
		return status{code: http.StatusConflict, reason: "Conflict", message: fmt.Sprintf(
			"Operation cannot be fulfilled on secrets %q: the object has been modified", name)}
	}
	s.object.Data = merged(s.object.Data, sent.Data)
	s.object.Metadata.Labels = merged(s.object.Metadata.Labels, sent.Metadata.Labels)
	s.object = a.store(s.object)
	return s
}

func merged[V any](old, sent map[string]V) map[string]V {
	out := map[string]V{}
	maps.Copy(out, old)
	maps.Copy(out, sent)
	return out
}

func found(in map[string]object, resource, name string) status {
	o, ok := in[name]
	if !ok {
		return status{code: http.StatusNotFound, reason: "NotFound", message: fmt.Sprintf("%s %q not found", resource, name)}
	}
	return status{code: http.StatusOK, object: o}
}

func write(w http.ResponseWriter, s status) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(s.code)
	if s.reason == "" {
		_ = json.NewEncoder(w).Encode(s.object)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": s.message, "reason": s.reason, "code": s.code,
	})
}
