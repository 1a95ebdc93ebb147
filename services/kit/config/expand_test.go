package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/drystone-store/drystone/services/kit/config"
)

// environment is what the tests of references find.
func environment(name string) (string, bool) {
	value, ok := map[string]string{
		"NAME": "chunk-3", "IP": "10.0.0.7", "IP6": "fd00::7", "PORT": "7000", "ZONE": "eu-1/a_b", "EMPTY": "",
		"LIST": "[a]", "MAP": "a: b", "COLON": "a:", "HASH": "a #b", "COMMENT": "#b", "ALIAS": "*x", "TAG": "!!int 7",
		"DASH": "-", "SPACE": " a", "QUOTE": `a"b`, "SINGLE": "it's", "BACKSLASH": `a\tb`, "COMMA": "a, b", "BRACE": "a}",
		"NULL": "null", "MERGE": "<<", "LINE": "a\nb: c", "RETURN": "a\rb", "SEPARATOR": "a\u2028b", "NUL": "a\x00", "LATIN": "\xe9",
		"TRUE": "true", "DOLLAR": "${NAME}", "HALF": "a:", "OTHER": " b", "AT": "@a", "PERCENT": "%a",
	}[name]
	return value, ok
}

func TestExpand(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "a: b\n", "a: b\n"},
		{"a name", "a: ${NAME}\n", "a: chunk-3\n"},
		{"inside text", "a: x-${NAME}.svc:${PORT}/y\n", "a: x-chunk-3.svc:7000/y\n"},
		{"next to each other", "a: ${NAME}${PORT}\n", "a: chunk-37000\n"},
		{"a number", "a: ${PORT}\n", "a: 7000\n"},
		{"a boolean", "a: ${TRUE}\n", "a: true\n"},
		{"in a flow", "a: {z: ${ZONE}, r: [${NAME}]}\n", "a: {z: eu-1/a_b, r: [chunk-3]}\n"},
		{"as a key", "${NAME}: a\n", "chunk-3: a\n"},
		{"brackets in quotes", `a: "[${IP6}]:7000"`, `a: "[fd00::7]:7000"`},
		{"a list in quotes", `a: "${LIST}"`, `a: "[a]"`},
		{"the other quotes", `a: '${QUOTE}'`, `a: 'a"b'`},
		{"an apostrophe in a word", "a: x${SINGLE}\n", "a: xit's\n"},
		{"what would be a comment, in quotes", `a: "${HASH}"`, `a: "a #b"`},
		{"null in quotes", `a: "${NULL}"`, `a: "null"`},
		{"in a block", "a: |\n  x ${HASH}\n  # ${NAME}\n", "a: |\n  x a #b\n  # chunk-3\n"},
		{"a default that is not needed", "a: ${NAME:-b}\n", "a: chunk-3\n"},
		{"a default", "a: ${UNSET:-b-c}\n", "a: b-c\n"},
		{"a default for what is empty", "a: ${EMPTY:-b}\n", "a: b\n"},
		{"an empty default", "a: ${UNSET:-}\n", "a: \n"},
		{"a default with signs", "a: ${UNSET:-b:-c}\n", "a: b:-c\n"},
		{"dollars", "a: $$5 $$NAME $${NAME} $$$$ $$${NAME}\n", "a: $5 $NAME ${NAME} $$ $chunk-3\n"},
		{"text with dollars", "a: 5$ $5 $- b$\n", "a: 5$ $5 $- b$\n"},
		{"a dollar at the end", "a: b$", "a: b$"},
		{"values are not expanded again", "a: ${DOLLAR}\n", "a: ${NAME}\n"},
		{"comments are left alone", "# ${UNSET} $X ${\na: b # ${UNSET} ${LINE}\n", "# ${UNSET} $X ${\na: b # ${UNSET} ${LINE}\n"},
		{"a number sign that begins no comment", "a: b#${NAME}\n", "a: b#chunk-3\n"},
		{"aliases", "a: &x ${NAME}\nb: *x\n", "a: &x chunk-3\nb: *x\n"},
		{"what holds places is there already", "a: quux0x000y${NAME}\n", "a: quux0x000ychunk-3\n"},
		{"an empty file", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.Expand([]byte(tt.text), environment)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("file (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExpandRefuses(t *testing.T) {
	const structure = "YAML would read something else"
	for _, tt := range []struct {
		name, text string
		errs       []string
	}{
		{"unset", "a: b\nc: ${UNSET}\n", []string{"line 2: ${UNSET}: the environment variable is not set"}},
		{"empty", "a: ${EMPTY}\n", []string{"line 1: ${EMPTY}: "}},
		{"all at once", "a: ${UNSET}\nb: $NAME\nc: ${LINE}\n", []string{"line 1: ${UNSET}: ", "line 2: $N: ", "line 3: ${LINE}: "}},
		{"a shell's way", "a: $NAME\n", []string{"line 1: $N: ", "${NAME}", "$$"}},
		{"the way of Kubernetes", "a: $(NAME)\n", []string{"line 1: $(: "}},
		{"not closed", "a: ${NAME\nb: }\n", []string{"line 1: ${: there is no }"}},
		{"no name", "a: ${}\n", []string{"line 1: ${}: want"}},
		{"a name that is none", "a: ${9X}\nb: ${A-B}\n", []string{"line 1: ${9X}: want", "line 2: ${A-B}: want"}},
		{"a default with a reference", "a: ${UNSET:-${NAME}}\n", []string{"line 1: ${UNSET:-${NAME}: want"}},
		{"a list", "a: ${LIST}\n", []string{"line 1: ${LIST}: ", structure}},
		{"a map", "- ${MAP}\n", []string{"line 1: ${MAP}: ", structure}},
		{"a key", "- ${COLON}\n", []string{"line 1: ${COLON}: ", structure}},
		{"the beginning of a comment", "a: ${HASH}\n", []string{structure}},
		{"a comment", "a: ${COMMENT}\n", []string{structure}},
		{"an alias", "a: &x b\nc: ${ALIAS}\n", []string{"line 2: ${ALIAS}: ", structure}},
		{"a tag", "a: ${TAG}\n", []string{structure}},
		{"a dash", "- ${DASH}\n", []string{structure}},
		{"null", "a: ${NULL}\n", []string{structure}},
		{"a merge", "a: {${MERGE}: {}}\n", []string{structure}},
		{"signs that YAML keeps to itself", "a: ${AT}\nb: ${PERCENT}\n", []string{"line 1: ${AT}: ", "line 2: ${PERCENT}: "}},
		{"space before a plain scalar", "a: ${SPACE}\n", []string{structure}},
		{"a comma in a flow", "a: [${COMMA}]\n", []string{structure}},
		{"a brace in a flow", "a: {b: ${BRACE}}\n", []string{structure}},
		{"the quote around it", `a: "${QUOTE}"`, []string{structure}},
		{"the single quote around it", `a: '${SINGLE}'`, []string{structure}},
		{"an escape", `a: "${BACKSLASH}"`, []string{structure}},
		{"only together", "- ${HALF}${OTHER}\n", []string{"together"}},
		{"lines", "a: ${LINE}\n", []string{"line 1: ${LINE}: ", "line breaks"}},
		{"lines in a block", "a: |+\n  ${LINE}\n", []string{"line breaks"}},
		{"other breaks", "a: ${RETURN}\nb: ${SEPARATOR}\n", []string{"line 1", "line 2"}},
		{"no text", "a: ${NUL}\nb: ${LATIN}\n", []string{"line 1", "line 2"}},
		{"too many", strings.Repeat("# ${NAME}\n", 257), []string{"more than 256"}},
		{"not YAML, and a reference that is none", "a: [\nb: ${\n", []string{"decode: ", "line 2: ${: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.Expand([]byte(tt.text), environment)
			if err == nil {
				t.Fatalf("no error but %q", got)
			}
			for _, part := range tt.errs {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %v, want one with %q", err, part)
				}
			}
		})
	}
}

func TestLoadExpands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	text := "name: ${CONFIG_TEST_POD}\ncache: ${CONFIG_TEST_CACHE:-1MiB}\n"
	if err := os.WriteFile(path, []byte(text+"nickname: ${CONFIG_TEST_POD}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := config.Load(path, &sample{}); err == nil || !strings.Contains(err.Error(), path+": line 1: ${CONFIG_TEST_POD}") {
		t.Errorf("unset: %v", err)
	}
	t.Setenv("CONFIG_TEST_POD", "pod-0")
	if err := config.Load(path, &sample{}); err == nil || !strings.Contains(err.Error(), "line 3: field nickname") {
		t.Errorf("an unknown field behind references: %v", err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var got sample
	if err := config.Load(path, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample{Name: "pod-0", Cache: 1 << 20}, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

// Whatever the file and the value are: the shape of the file is that of the file with a harmless value, and lines stay.
func FuzzExpand(f *testing.F) {
	f.Add("a: ${X}\nb: [${X}, '${X}']\n", "v")
	f.Add("a: \"${X}\" # ${X}\n", "[\"]: #")
	f.Add("${X}: |\n  ${X}\n", "- a")
	f.Add("a: $${X} &a *a ${X:-}\n", "\\")
	f.Add("a: $$\n? ${X}\n: !!str ${X}", "\u0085")
	f.Fuzz(func(t *testing.T, text, value string) {
		expand := func(value string) (string, []string, error) {
			out, err := config.Expand([]byte(text), func(string) (string, bool) { return value, true })
			if err != nil {
				return "", nil, err
			}
			var n yaml.Node
			if err := yaml.Unmarshal(out, &n); err != nil && strings.Contains(text, "$") && len(out) != len(text) {
				t.Fatalf("%q makes %q, which is no YAML: %v", value, out, err)
			}
			return string(out), shape(&n, nil), nil
		}
		out, got, err := expand(value)
		if err != nil {
			return
		}
		if strings.Count(out, "\n") != strings.Count(text, "\n") {
			t.Fatalf("%q has other lines than %q", out, text)
		}
		harmless, want, err := expand("harmless")
		if err != nil {
			t.Fatalf("%q takes %q, but no harmless value: %v", text, value, err)
		}
		if value != "" && !slices.Equal(want, got) {
			t.Fatalf("%q and %q differ in shape:\n%v\n%v", harmless, out, want, got)
		}
	})
}

func shape(n *yaml.Node, out []string) []string {
	out = append(out, fmt.Sprint(n.Kind, len(n.Content), n.Anchor))
	for _, child := range n.Content {
		out = shape(child, out)
	}
	return out
}
