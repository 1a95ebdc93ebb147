package kube_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/drystone-store/drystone/services/kit/kube"
	"github.com/drystone-store/drystone/services/kit/kube/kubetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNode(t *testing.T) {
	api := kubetest.Start(t)
	labels := map[string]string{kube.LabelZone: "a", kube.LabelHostname: "worker-1"}
	api.PutNode("worker-1", labels)
	got, err := api.Client(t).Node(t.Context(), "worker-1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(kube.Node{Name: "worker-1", Labels: labels}, got); diff != "" {
		t.Errorf("node (-want +got):\n%s", diff)
	}
}

func TestSecrets(t *testing.T) {
	api := kubetest.Start(t)
	c := api.Client(t)
	made, err := c.CreateSecret(t.Context(), kube.Secret{
		Name: "a", Labels: map[string]string{"app": "x"}, Data: map[string][]byte{"one": {0, 1, 255}},
	})
	if err != nil {
		t.Fatal(err)
	}
	read, err := c.Secret(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made, read); diff != "" || read.ResourceVersion == "" {
		t.Errorf("made and read differ (-made +read):\n%s", diff)
	}
	update := kube.Secret{Name: "a", ResourceVersion: read.ResourceVersion, Data: map[string][]byte{"two": []byte("2")}}
	changed, err := c.UpdateSecret(t.Context(), update)
	if err != nil {
		t.Fatal(err)
	}
	want := kube.Secret{
		Name: "a", Labels: map[string]string{"app": "x"}, ResourceVersion: changed.ResourceVersion,
		Data: map[string][]byte{"one": {0, 1, 255}, "two": []byte("2")},
	}
	if diff := cmp.Diff(want, changed); diff != "" || changed.ResourceVersion == read.ResourceVersion {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if _, err := c.UpdateSecret(t.Context(), update); !errors.Is(err, kube.ErrConflict) || errors.Is(err, kube.ErrExists) {
		t.Errorf("an update of an old version: %v", err)
	}
	if _, err := c.CreateSecret(t.Context(), kube.Secret{Name: "a"}); !errors.Is(err, kube.ErrExists) || errors.Is(err, kube.ErrConflict) {
		t.Errorf("a second one of the name: %v", err)
	}
}

// An update leaves alone what it does not name.
func TestAnUpdateKeepsWhatIsNotItsOwn(t *testing.T) {
	api := kubetest.Start(t)
	api.PutSecret("a", map[string][]byte{"one": []byte("1")})
	c := api.Client(t)
	read, err := c.Secret(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	read.Data = map[string][]byte{"two": []byte("2")}
	if _, err := c.UpdateSecret(t.Context(), read); err != nil {
		t.Fatal(err)
	}
	data, _, annotations := api.Secret("a")
	if diff := cmp.Diff(map[string][]byte{"one": []byte("1"), "two": []byte("2")}, data); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"owner": "somebody"}, annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	api := kubetest.Start(t)
	api.PutSecret("locked", nil)
	api.Deny("get nodes")
	api.Deny("patch secrets")
	c := api.Client(t)
	for name, tt := range map[string]struct {
		call func(context.Context) error
		is   error
		says []string
	}{
		"a node without the right": {
			func(ctx context.Context) error { _, err := c.Node(ctx, "n"); return err },
			kube.ErrForbidden,
			[]string{`get node "n"`, `cannot get resource "nodes"`, "403"},
		},
		"a secret without the right": {
			func(ctx context.Context) error {
				_, err := c.UpdateSecret(ctx, kube.Secret{Name: "locked", ResourceVersion: "1"})
				return err
			},
			kube.ErrForbidden,
			[]string{`patch secret "locked" in namespace "store"`, `cannot patch resource "secrets"`},
		},
		"a secret that is absent": {
			func(ctx context.Context) error { _, err := c.Secret(ctx, "none"); return err },
			kube.ErrNotFound,
			[]string{`get secret "none"`, "not found"},
		},
		"an update of an absent one": {
			func(ctx context.Context) error {
				_, err := c.UpdateSecret(ctx, kube.Secret{Name: "none"})
				return err
			},
			nil,
			[]string{"which version"},
		},
		"no name": {
			func(ctx context.Context) error { _, err := c.Secret(ctx, ""); return err },
			nil,
			[]string{"name is empty"},
		},
		"a name that is a path": {
			func(ctx context.Context) error { _, err := c.Secret(ctx, "../../nodes/n"); return err },
			kube.ErrNotFound,
			nil,
		},
		"an end before the call": {
			func(ctx context.Context) error {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				_, err := c.Node(ctx, "n")
				return err
			},
			context.Canceled,
			[]string{`get node "n"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.call(t.Context())
			if err == nil || (tt.is != nil && !errors.Is(err, tt.is)) {
				t.Fatalf("got %v, want %v", err, tt.is)
			}
			for _, part := range tt.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

// The kubelet replaces a token long before it ends; the old one may end at any time after.
func TestTheTokenIsReadForEachCall(t *testing.T) {
	api := kubetest.Start(t)
	api.PutNode("n", nil)
	c := api.Client(t)
	file := filepath.Join(api.Folder, "token")
	for _, tt := range []struct {
		token string
		says  string // nothing: it succeeds
	}{
		{"old", "Unauthorized (401)"},
		{kubetest.Token + "\n", ""},
		{" \n", "is empty"},
	} {
		if err := os.WriteFile(file, []byte(tt.token), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := c.Node(t.Context(), "n")
		if (err == nil) != (tt.says == "") || (err != nil && !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("with token %q: %v", tt.token, err)
		}
	}
}

// serve runs a server whose answers are no API's, and makes a client of it.
func serve(t *testing.T, listener net.Listener, h http.HandlerFunc) *kube.Client {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	if listener != nil {
		_ = s.Listener.Close()
		s.Listener = listener
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	for name, data := range map[string][]byte{"ca": ca, "token": []byte("t")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := kube.New(kube.Options{
		Address: s.Listener.Addr().String(), CAFile: filepath.Join(dir, "ca"), TokenFile: filepath.Join(dir, "token"), Namespace: "n",
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStrangeAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		h    http.HandlerFunc
		says string
	}{
		"longer than anything": {
			func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 3<<20)) },
			"longer than",
		},
		"no JSON": {
			func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
			"read the answer",
		},
		"an error of something between": {
			func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) },
			"Bad Gateway (502)",
		},
		"a redirection": {
			func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://192.0.2.1/", http.StatusFound)
			},
			"Found (302)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := serve(t, nil, tt.h).Node(t.Context(), "n")
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
		})
	}
}

// certificate makes one that nothing else is signed with.
func certificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

func TestAServerOfAnotherCAGetsNoToken(t *testing.T) {
	api := kubetest.Start(t)
	api.PutNode("n", nil)
	if err := os.WriteFile(filepath.Join(api.Folder, "ca.crt"), certificate(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Client(t).Node(t.Context(), "n"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
	if calls := api.Calls(); len(calls) > 0 {
		t.Errorf("it was asked all the same: %q", calls)
	}
}

func TestOverIPv6(t *testing.T) {
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6")
	}
	c := serve(t, listener, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"metadata":{"name":"n"}}`)) })
	if n, err := c.Node(t.Context(), "n"); err != nil || n.Name != "n" {
		t.Errorf("got %+v, %v", n, err)
	}
}

func TestOptionsThatMakeNoClient(t *testing.T) {
	api := kubetest.Start(t)
	ca, token := filepath.Join(api.Folder, "ca.crt"), filepath.Join(api.Folder, "token")
	for name, o := range map[string]kube.Options{
		"nothing":          {},
		"no namespace":     {Address: "a:1", CAFile: ca, TokenFile: token},
		"no such CA file":  {Address: "a:1", CAFile: ca + "x", TokenFile: token, Namespace: "n"},
		"a CA that is not": {Address: "a:1", CAFile: token, TokenFile: token, Namespace: "n"},
	} {
		if _, err := kube.New(o); err == nil {
			t.Errorf("%s: a client was made", name)
		}
	}
}
