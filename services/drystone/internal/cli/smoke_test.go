package cli

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drystone-store/drystone/services/drystone/internal/fakedoor"
)

func TestSmoke(t *testing.T) {
	d := door(t)
	r := run(t, "", "smoke", "--size", "3MiB", "--objects", "3").mustSucceed(t)
	steps := regexp.MustCompile(`(?m)^ok +\S+  (.*?) smoke-`).FindAllStringSubmatch(r.out, -1)
	var names []string
	for _, s := range steps {
		names = append(names, s[1])
	}
	want := strings.Split("make bucket,put,put,put,get,get,get,get range,get range,get range,list,delete,delete,delete,remove bucket", ",")
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if !strings.Contains(r.out, "(1000 B)") || !strings.Contains(r.out, "(3.0 MiB)") || !strings.Contains(r.out, "all is well: 15 steps in ") {
		t.Error(r.out)
	}
	if out := run(t, "", "ls").mustSucceed(t).out; out != "" {
		t.Errorf("left: %s", out)
	}
	if n := len(d.Calls()); n < 15 {
		t.Errorf("only %d calls", n)
	}
}

func TestSmokeInABucketThatIsThere(t *testing.T) {
	d := door(t)
	d.Put("box", "smoke-mine/1", []byte("mine"))
	r := run(t, "", "smoke", "--bucket", "box", "--json").mustSucceed(t)
	for line := range strings.Lines(r.out) {
		var s struct {
			Step, Target, Error string
			Millis              float64
		}
		if err := json.Unmarshal([]byte(line), &s); err != nil || s.Step == "" || !strings.HasPrefix(s.Target, "box") || s.Error != "" {
			t.Errorf("%s: %v", line, err)
		}
	}
	if diff := cmp.Diff([]string{"smoke-mine/1"}, d.Keys("box")); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestSmokeThatFails(t *testing.T) {
	forbidden := fakedoor.Fault{Status: http.StatusForbidden, Reason: "ACCESS_DENIED"}
	for name, tt := range map[string]struct {
		order func(*fakedoor.Door)
		says  string
	}{
		"nothing is allowed":  {func(d *fakedoor.Door) { d.Refuse(forbidden) }, "make bucket"},
		"checksums are wrong": {func(d *fakedoor.Door) { d.LieAboutChecksums() }, "get smoke-"},
		"a refusal after a while": {func(d *fakedoor.Door) {
			d.Refuse(fakedoor.Fault{Status: http.StatusNotFound}, fakedoor.Fault{Status: http.StatusBadRequest})
		}, "make bucket"},
	} {
		t.Run(name, func(t *testing.T) {
			d := door(t)
			tt.order(d)
			r := run(t, "", "smoke", "--size", "100KiB")
			if r.code != exitFailed || !strings.Contains(r.err, tt.says) || !strings.Contains(r.out, "FAILED") || strings.Contains(r.err, "left") {
				t.Errorf("exit %d\n%s%s", r.code, r.out, r.err)
			}
			if out := run(t, "", "ls").mustSucceed(t).out; out != "" {
				t.Errorf("left: %s", out)
			}
		})
	}
}

func TestSmokeWords(t *testing.T) {
	door(t)
	for line, says := range map[string]string{
		"smoke box":              "wrong number",
		"smoke --size 1MB":       "--size",
		"smoke --objects 0":      "--objects 0",
		"smoke --timeout 0s":     "--timeout",
		"smoke --bucket box/key": "a bucket is wanted",
	} {
		if r := run(t, "", strings.Fields(line)...); r.code != exitUsage || !strings.Contains(r.err, says) {
			t.Errorf("%s: %+v", line, r)
		}
	}
}

func TestTokenFiles(t *testing.T) {
	door(t)
	write(t, map[string]string{"right": fakedoor.Token + "\n", "wrong": "wrong", "empty": "\n", "open": fakedoor.Token})
	if err := os.Chmod("open", 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, line, token, file string
		code                    int
		says                    string
	}{
		{name: "by flag", line: "ls --token-file right", token: "wrong", file: "wrong"},
		{name: "by environment", line: "ls", file: "right"},
		{name: "a token goes before a file", line: "ls", token: fakedoor.Token, file: "wrong"},
		{name: "a flag goes before the environment", line: "ls --token " + fakedoor.Token, file: "wrong"},
		{name: "both flags", line: "ls --token x --token-file right", code: exitUsage, says: "one of them"},
		{name: "no such file", line: "ls --token-file none", code: exitFailed, says: "no such file"},
		{name: "an empty one", line: "ls --token-file empty", code: exitFailed, says: "is empty"},
		{name: "one for everybody", line: "ls --token-file open", code: exitFailed, says: "others must have no rights"},
		{name: "a wrong one", line: "ls --token-file wrong", code: exitFailed, says: "UNAUTHENTICATED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(envToken, c.token)
			t.Setenv(envTokenFile, c.file)
			if c.file != "" {
				abs, err := filepath.Abs(c.file)
				if err != nil {
					t.Fatal(err)
				}
				t.Setenv(envTokenFile, abs)
			}
			if r := run(t, "", strings.Fields(c.line)...); r.code != c.code || !strings.Contains(r.err, c.says) {
				t.Errorf("%+v", r)
			}
		})
	}
}
