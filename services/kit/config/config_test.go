package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/drystone-store/drystone/services/kit/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type sample struct {
	Name    string            `yaml:"name"`
	Timeout time.Duration     `yaml:"timeout"`
	Cache   config.Size       `yaml:"cache"`
	Token   config.SecretFile `yaml:"token_file"`
	Etcd    struct {
		Endpoints []string `yaml:"endpoints"`
	} `yaml:"etcd"`
}

func (s sample) Validate() error {
	var errs []error
	if s.Name == "" {
		errs = append(errs, errors.New("name: missing"))
	}
	if s.Timeout < 0 {
		errs = append(errs, errors.New("timeout: negative"))
	}
	return errors.Join(errs...)
}

func TestParse(t *testing.T) {
	want := sample{Name: "a", Timeout: 90 * time.Second, Cache: 64 << 20, Token: "/run/token"}
	want.Etcd.Endpoints = []string{"h:1", "h:2"}
	for _, tt := range []struct {
		name, text string
		want       sample
		errs       []string
	}{
		{"all", "name: a\ntimeout: 1m30s\ncache: 64MiB\ntoken_file: /run/token\netcd: {endpoints: [h:1, h:2]}\n", want, nil},
		{"unknown field", "name: a\nnickname: b\n", sample{}, []string{"line 2", "nickname"}},
		{"unknown nested field", "name: a\netcd:\n  hosts: []\n", sample{}, []string{"line 3", "hosts"}},
		{"every decoding error", "timeout: soon\nname: a\ncache: 3 elephants\nx: 1\n", sample{}, []string{"line 1", "line 3", "3 elephants", "line 4"}},
		{"field given twice", "name: a\nname: b\n", sample{}, []string{"name", "already"}},
		{"two documents", "name: a\n---\nname: b\n", sample{}, []string{"one document"}},
		{"every validation error", "timeout: -1s\n", sample{}, []string{"name: missing", "timeout: negative"}},
		{"nothing is judged, too", "", sample{}, []string{"name: missing"}},
		{"not YAML", "\x00", sample{}, []string{"decode"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got sample
			err := config.Parse([]byte(tt.text), &got)
			if len(tt.errs) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("config (-want +got):\n%s", diff)
				}
				return
			}
			for _, part := range tt.errs {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error %v, want one with %q", err, part)
				}
			}
		})
	}
}

func TestDefaultsStay(t *testing.T) {
	got := sample{Name: "default", Timeout: time.Second}
	if err := config.Parse([]byte("name: a\n"), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample{Name: "a", Timeout: time.Second}, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := config.Load(path, &sample{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte("nickname: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := config.Load(path, &sample{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error does not name the file: %v", err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("# padding\n", 1<<17)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := config.Load(path, &sample{}); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Errorf("a huge file: %v", err)
	}
}

func TestPrintIsReadBack(t *testing.T) {
	want := sample{Name: "a", Timeout: 90 * time.Second, Cache: 3 << 30, Token: "/t"}
	want.Etcd.Endpoints = []string{"h:1"}
	var out strings.Builder
	if err := config.Print(&out, want); err != nil {
		t.Fatal(err)
	}
	var got sample
	if err := config.Parse([]byte(out.String()), &got); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestParseSize(t *testing.T) {
	for _, tt := range []struct {
		text string
		want config.Size
		ok   bool
	}{
		{"0", 0, true},
		{"4096", 4096, true},
		{"12B", 12, true},
		{"64KiB", 64 << 10, true},
		{"1 MiB", 1 << 20, true},
		{"8388607TiB", 8388607 << 40, true},
		{"8388608TiB", 0, false},
		{"-1", 0, false},
		{"1.5GiB", 0, false},
		{"1MB", 0, false},
		{"", 0, false},
		{"KiB", 0, false},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := config.ParseSize(tt.text)
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

func TestSizesAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := config.Size(rapid.Int64Min(0).Draw(t, "size"))
		got, err := config.ParseSize(want.String())
		if err != nil || got != want {
			t.Fatalf("%d as %q is %d, %v", want, want, got, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("name: a\ntimeout: 1m30s\ncache: 64MiB\n")
	f.Add("name: &x [*x]\n")
	f.Add("? - !!binary |\n  aa")
	f.Fuzz(func(_ *testing.T, text string) {
		var s sample
		_ = config.Parse([]byte(text), &s)
	})
}

func TestSecretFile(t *testing.T) {
	write := func(t *testing.T, content string, mode os.FileMode) config.SecretFile {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return config.SecretFile(path)
	}
	for _, tt := range []struct {
		name string
		file func(t *testing.T) config.SecretFile
		want string
		ok   bool
	}{
		{"trimmed", func(t *testing.T) config.SecretFile { return write(t, " s3cret\n", 0o600) }, "s3cret", true},
		{"for a group", func(t *testing.T) config.SecretFile { return write(t, "s3cret", 0o640) }, "s3cret", true},
		{"for everybody", func(t *testing.T) config.SecretFile { return write(t, "s3cret", 0o644) }, "", false},
		{"empty", func(t *testing.T) config.SecretFile { return write(t, "\n", 0o600) }, "", false},
		{"missing", func(t *testing.T) config.SecretFile { return config.SecretFile(t.TempDir() + "/none") }, "", false},
		{"not configured", func(*testing.T) config.SecretFile { return "" }, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.file(t).Read()
			if string(got) != tt.want || (err == nil) != tt.ok {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func ExampleParse() {
	var c struct {
		Listen  string        `yaml:"listen"`
		Timeout time.Duration `yaml:"timeout"`
		Cache   config.Size   `yaml:"cache"`
	}
	err := config.Parse([]byte("listen: :9000\ntimeout: 5s\ncache: 1GiB\n"), &c)
	fmt.Println(c.Listen, c.Timeout, c.Cache, err)
	// Output: :9000 5s 1GiB <nil>
}
