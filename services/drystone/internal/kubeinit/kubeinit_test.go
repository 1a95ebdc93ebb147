package kubeinit

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drystone-store/drystone/services/kit/kube"
	"github.com/drystone-store/drystone/services/kit/kube/kubetest"
)

// everything asks for all Secrets.
func everything() Options {
	return Options{
		RootSecret: "root", EtcdSecret: "etcd", EtcdCASecret: "etcd-ca",
		EtcdHosts: []string{"*.etcd.store.svc", "etcd.store.svc", "localhost", "127.0.0.1", "::1"},
		Labels:    map[string]string{"app": "drystone"},
	}
}

// run runs at a time, and returns what was done, `made etcd: ca.crt …`.
func run(t *testing.T, api API, o Options, now time.Time) ([]string, error) {
	t.Helper()
	var lines []string
	r := runner{api: api, options: o, now: func() time.Time { return now }, done: func(d Done) error {
		lines = append(lines, strings.TrimSpace(d.Action+" "+d.Secret+" "+strings.Join(d.Keys, " ")))
		return nil
	}}
	err := r.run(t.Context())
	return lines, err
}

func mustRun(t *testing.T, api API, o Options, now time.Time, want ...string) {
	t.Helper()
	got, err := run(t, api, o, now)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("done (-want +got):\n%s", diff)
	}
}

func leaf(t *testing.T, api *kubetest.API, name string) pair {
	t.Helper()
	data, _, _ := api.Secret("etcd")
	p, err := parsePair(data[name+".crt"], data[name+".key"])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAFirstRunMakesAllAndASecondNothing(t *testing.T) {
	fake := kubetest.Start(t)
	api, now := fake.Client(t), time.Now()
	mustRun(
		t, api, everything(), now, "made root credentials token", "made etcd-ca ca.crt ca.key",
		"made etcd ca.crt client.crt client.key server.crt server.key",
	)
	root, labels, _ := fake.Secret("root")
	if diff := cmp.Diff(map[string]string{"app": "drystone"}, labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if !regexp.MustCompile(`^drystone_[\w-]{43}$`).Match(root["token"]) {
		t.Error("the token is not like that of `drystone up`")
	}
	credentials := regexp.MustCompile(`^\[default\]\naws_access_key_id = [A-Z0-9]{20}\naws_secret_access_key = [A-Z0-9]{40}\n$`)
	if !credentials.Match(root["credentials"]) {
		t.Error("the credentials are no credentials file")
	}
	etcd, _, _ := fake.Secret("etcd")
	if etcd["ca.key"] != nil {
		t.Error("the CA's key is in what pods mount")
	}
	mustRun(t, api, everything(), now.Add(time.Hour), "kept root", "kept etcd-ca", "kept etcd")
	again, _, _ := fake.Secret("etcd")
	if !cmp.Equal(etcd, again) {
		t.Error("the second run changed certificates")
	}
}

func TestTheCertificates(t *testing.T) {
	fake := kubetest.Start(t)
	now := time.Now()
	if _, err := run(t, fake.Client(t), everything(), now); err != nil {
		t.Fatal(err)
	}
	data, _, _ := fake.Secret("etcd")
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data["ca.crt"]) {
		t.Fatal("ca.crt holds no certificate")
	}
	for _, host := range []string{"etcd-0.etcd.store.svc", "etcd.store.svc", "localhost", "127.0.0.1", "::1"} {
		_, err := leaf(t, fake, "server").cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
		if err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for name, wanted := range map[string]bool{"server": true, "client": true} {
		_, err := leaf(t, fake, name).cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if (err == nil) != wanted {
			t.Errorf("%s as a client: %v", name, err)
		}
	}
	if _, err := leaf(t, fake, "client").cert.Verify(x509.VerifyOptions{Roots: roots}); err == nil {
		t.Error("the client's certificate serves")
	}
	if end := leaf(t, fake, "server").cert.NotAfter; end.Sub(now) > leafLife || end.Sub(now) < leafLife-time.Minute {
		t.Errorf("the server's certificate ends at %s", end)
	}
}

func TestRenewal(t *testing.T) {
	now := time.Now()
	more := everything()
	more.EtcdHosts = append(more.EtcdHosts, "etcd.example.com")
	fewer := everything()
	fewer.EtcdHosts = fewer.EtcdHosts[:1]
	kept := []string{"kept root", "kept etcd-ca"}
	for name, tt := range map[string]struct {
		options Options
		after   time.Duration
		done    string
	}{
		"two thirds of its life":         {everything(), leafLife/3*2 - 24*time.Hour, "kept etcd"},
		"less than a third of it left":   {everything(), leafLife/3*2 + 24*time.Hour, "changed etcd client.crt client.key server.crt server.key"},
		"long after its end":             {everything(), 3 * leafLife, "changed etcd client.crt client.key server.crt server.key"},
		"a host more":                    {more, time.Hour, "changed etcd server.crt server.key"},
		"a host less":                    {fewer, time.Hour, "kept etcd"},
		"in the CA's last year but one":  {everything(), caLife - leafLife, "changed etcd client.crt client.key server.crt server.key"},
		"before it begins, by the clock": {everything(), -48 * time.Hour, "changed etcd client.crt client.key server.crt server.key"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := kubetest.Start(t)
			if _, err := run(t, fake.Client(t), everything(), now); err != nil {
				t.Fatal(err)
			}
			before, _, _ := fake.Secret("etcd")
			at := now.Add(tt.after)
			mustRun(t, fake.Client(t), tt.options, at, append(slices.Clone(kept), tt.done)...)
			after, _, _ := fake.Secret("etcd")
			if string(before["ca.crt"]) != string(after["ca.crt"]) {
				t.Error("the CA was not kept")
			}
			for _, n := range []string{"server", "client"} {
				if c := leaf(t, fake, n).cert; at.Before(c.NotBefore) || at.After(c.NotAfter) {
					t.Errorf("%s is not valid at %s", n, at)
				}
			}
			mustRun(t, fake.Client(t), tt.options, at, append(slices.Clone(kept), "kept etcd")...)
		})
	}
}

func TestWhatIsThereStays(t *testing.T) {
	fake := kubetest.Start(t)
	fake.PutSecret("root", map[string][]byte{"token": []byte("mine\n"), "other": []byte("x")})
	o := Options{RootSecret: "root", Labels: map[string]string{"app": "drystone"}}
	mustRun(t, fake.Client(t), o, time.Now(), "changed root credentials")
	data, labels, annotations := fake.Secret("root")
	if string(data["token"]) != "mine\n" || string(data["other"]) != "x" || data["credentials"] == nil {
		t.Errorf("keys: %v", slices.Sorted(maps.Keys(data)))
	}
	if len(labels) > 0 || annotations["owner"] != "somebody" {
		t.Errorf("labels %v, annotations %v", labels, annotations)
	}
}

func TestWhatPeopleHaveToMend(t *testing.T) {
	foreign, err := newCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ending, err := newCA(time.Now().Add(-caLife + leafLife/4))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		secrets map[string]map[string][]byte
		options Options
		says    string
	}{
		"an empty token":         {map[string]map[string][]byte{"root": {"token": []byte("\n")}}, everything(), "key token is empty"},
		"half a CA":              {map[string]map[string][]byte{"etcd-ca": {"ca.crt": foreign.certPEM}}, everything(), "one of ca.crt and ca.key"},
		"a CA that is none":      {map[string]map[string][]byte{"etcd-ca": {"ca.crt": []byte("x"), "ca.key": []byte("y")}}, everything(), "read a certificate"},
		"a CA whose key is gone": {map[string]map[string][]byte{"etcd": {"ca.crt": foreign.certPEM}}, everything(), "the CA's key is gone"},
		"a CA near its end": {
			map[string]map[string][]byte{"etcd-ca": {"ca.crt": ending.certPEM, "ca.key": ending.keyPEM}}, everything(), "the CA ends at",
		},
		"a host that is none": {nil, Options{EtcdSecret: "etcd", EtcdCASecret: "etcd-ca", EtcdHosts: []string{"a b"}}, "no host name"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := kubetest.Start(t)
			for secret, data := range tt.secrets {
				fake.PutSecret(secret, data)
			}
			if _, err := run(t, fake.Client(t), tt.options, time.Now()); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestMissingRights(t *testing.T) {
	for right, says := range map[string]string{
		"get secrets":    `cannot get resource "secrets"`,
		"create secrets": `cannot create resource "secrets"`,
		"patch secrets":  `cannot patch resource "secrets"`,
	} {
		fake := kubetest.Start(t)
		fake.PutSecret("root", map[string][]byte{"token": []byte("mine")})
		fake.Deny(right)
		_, err := run(t, fake.Client(t), everything(), time.Now())
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "get, create and patch") {
			t.Errorf("%s: %v", right, err)
		}
	}
}

// Whoever comes second takes what the first made.
func TestRunsAtOnce(t *testing.T) {
	fake := kubetest.Start(t)
	var all sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		all.Go(func() {
			errs[i] = Run(t.Context(), fake.Client(t), everything(), func(Done) error { return nil })
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	caData, _, _ := fake.Secret("etcd-ca")
	ca, err := parsePair(caData["ca.crt"], caData["ca.key"])
	if err != nil {
		t.Fatal(err)
	}
	data, _, _ := fake.Secret("etcd")
	if string(data["ca.crt"]) != string(ca.certPEM) {
		t.Error("etcd's Secret has another CA")
	}
	for _, name := range []string{"server", "client"} {
		if err := leaf(t, fake, name).cert.CheckSignatureFrom(ca.cert); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What another does between reading and writing is read again.
func TestChangesInBetween(t *testing.T) {
	for name, tt := range map[string]struct {
		verb  string
		other func(*kubetest.API)
		want  string
	}{
		"created": {"create", func(a *kubetest.API) { a.PutSecret("root", map[string][]byte{"token": []byte("theirs")}) }, "theirs"},
		"changed": {"patch", func(a *kubetest.API) { a.PutSecret("root", map[string][]byte{"token": []byte("theirs")}) }, "theirs"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := kubetest.Start(t)
			if tt.verb == "patch" {
				fake.PutSecret("root", map[string][]byte{"credentials": []byte("c")})
			}
			var once sync.Once
			fake.Before(func(verb, _ string) {
				if verb == tt.verb {
					once.Do(func() { tt.other(fake) })
				}
			})
			if _, err := run(t, fake.Client(t), Options{RootSecret: "root"}, time.Now()); err != nil {
				t.Fatal(err)
			}
			if data, _, _ := fake.Secret("root"); string(data["token"]) != tt.want || data["credentials"] == nil {
				t.Errorf("keys: %v", slices.Sorted(maps.Keys(data)))
			}
		})
	}
}

// endless is an API on which somebody is always faster.
type endless struct{ API }

func (endless) UpdateSecret(context.Context, kube.Secret) (kube.Secret, error) {
	return kube.Secret{}, fmt.Errorf("as ordered: %w", kube.ErrConflict)
}

func TestEndlessConflictsEnd(t *testing.T) {
	fake := kubetest.Start(t)
	fake.PutSecret("root", map[string][]byte{"token": []byte("mine")})
	_, err := run(t, endless{fake.Client(t)}, Options{RootSecret: "root"}, time.Now())
	if err == nil || !strings.Contains(err.Error(), "all the time") {
		t.Errorf("got %v", err)
	}
}
