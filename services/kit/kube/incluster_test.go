package kube

import (
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mount makes a folder like the kubelet's.
func mount(t *testing.T) string {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	for name, data := range map[string][]byte{"ca.crt": ca, "token": []byte("t"), "namespace": []byte("store\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWhatAPodIsGiven(t *testing.T) {
	dir := mount(t)
	for host, want := range map[string]string{"10.96.0.1": "10.96.0.1:443", "fd00::1": "[fd00::1]:443"} {
		c, err := inFolder(dir, host, "443")
		if err != nil {
			t.Fatal(err)
		}
		if c.options.Address != want || c.Namespace() != "store" {
			t.Errorf("%s: address %s, namespace %q", host, c.options.Address, c.Namespace())
		}
	}
}

func TestNoPod(t *testing.T) {
	for name, tt := range map[string]struct{ dir, host, says string }{
		"no environment":     {mount(t), "", "KUBERNETES_SERVICE_HOST"},
		"no service account": {t.TempDir(), "10.96.0.1", "automountServiceAccountToken"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := inFolder(tt.dir, tt.host, "443"); !errors.Is(err, ErrNotInCluster) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}
