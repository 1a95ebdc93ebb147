package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const (
	// maxReferences bounds what a file may refer to: who is to blame for a value that does not fit is found by parsing the
	// file once for each.
	maxReferences = 256
	// defaultSign stands between a variable's name and what is meant without it.
	defaultSign = ":-"
)

// reference is a piece of the file that stands for something else, or is not understood.
type reference struct {
	begin, end int // offsets in the file
	line       int
	text       string
	value      string
	err        error
	used       bool // it stands in a value: not in a comment, for example
}

func (r *reference) fail(format string, args ...any) error {
	return fmt.Errorf("line %d: %s: %s", r.line, r.text, fmt.Sprintf(format, args...))
}

// Expand replaces references to environment variables in a YAML file by what lookup says:
//
//	${NAME}            the variable; an error if it is unset or empty
//	${NAME:-default}   the same, or default if it is unset or empty; default has no `}` and no `$`
//	$$                 a `$`
//
// Other text with a `$` stays as it is, but `${`, `$(` and a `$` before a letter or `_` that begin none of these are
// errors: they are more likely meant as references than as text. References in comments are left alone.
//
// A value replaces text inside one scalar and never changes what is around it: the file is parsed with and without the
// values, and where the two differ in more than the values, the value is refused. So in `- ${A}` a value of `[x]` or
// `a: b` is an error; in `- "${A}"` it is not, a `"` is. No value has line breaks or other control characters, so lines
// keep their numbers. All errors are reported at once, each with its line.
func Expand(data []byte, lookup func(name string) (value string, ok bool)) ([]byte, error) {
	refs, err := findReferences(data)
	if err != nil {
		return nil, err
	}
	if len(refs) == 0 {
		return data, nil
	}
	marks := newMarks(data)
	marked := replace(data, refs, marks.of)
	var want yaml.Node
	if err := yaml.Unmarshal(marked, &want); err != nil {
		errs := []error{fmt.Errorf("decode: %w", err)}
		for i := range refs {
			errs = append(errs, refs[i].err)
		}
		return nil, errors.Join(errs...)
	}
	markUsed(&want, refs, marks)
	var errs []error
	for i := range refs {
		if r := &refs[i]; r.used {
			errs = append(errs, r.resolve(lookup))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return fill(data, refs, &want, marks)
}

// fill puts the values in, and finds whom to blame if they do not fit.
func fill(data []byte, refs []reference, want *yaml.Node, marks marks) ([]byte, error) {
	// with has the values of those that take part, and still the marks of the others.
	with := func(takesPart func(i int) bool) (text []byte, fits bool) {
		var pairs []string
		text = replace(data, refs, func(i int) string {
			switch {
			case !refs[i].used:
				return refs[i].text
			case !takesPart(i):
				return marks.of(i)
			}
			pairs = append(pairs, marks.of(i), refs[i].value)
			return refs[i].value
		})
		var got yaml.Node
		err := yaml.Unmarshal(text, &got)
		return text, err == nil && same(want, &got, strings.NewReplacer(pairs...))
	}
	text, fits := with(func(int) bool { return true })
	if fits {
		return text, nil
	}
	var errs []error
	for i := range refs {
		if _, fits := with(func(j int) bool { return j == i }); !fits {
			errs = append(errs, refs[i].fail("its value cannot stand there, YAML would read something else: put quotes around it, or change it"))
		}
	}
	if len(errs) == 0 {
		return nil, errors.New("the variables' values together make YAML read something else: put quotes around the references")
	}
	return nil, errors.Join(errs...)
}

// resolve finds the value of a reference.
func (r *reference) resolve(lookup func(string) (string, bool)) error {
	if r.err != nil || r.text == "$$" {
		return r.err
	}
	name, fallback, optional := strings.Cut(r.text[len("${"):len(r.text)-len("}")], defaultSign)
	value, _ := lookup(name)
	if value == "" {
		if !optional {
			return r.fail("the environment variable is not set, or empty")
		}
		value = fallback
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, breaks) {
		return r.fail("its value has line breaks or other characters that are no text")
	}
	r.value = value
	return nil
}

// breaks tells characters that end lines for YAML, or are none to be seen.
func breaks(c rune) bool {
	const lineSeparator, paragraphSeparator = '\u2028', '\u2029'
	return unicode.IsControl(c) || c == lineSeparator || c == paragraphSeparator
}

// findReferences finds everything in the file that is a reference or might be meant as one.
func findReferences(data []byte) ([]reference, error) {
	var refs []reference
	line, counted := 1, 0
	for at := 0; ; {
		next := bytes.IndexByte(data[at:], '$')
		if next < 0 {
			return refs, nil
		}
		at += next
		r, ok := readReference(data[at:])
		if !ok {
			at++
			continue
		}
		if len(refs) == maxReferences {
			return nil, fmt.Errorf("more than %d references to variables", maxReferences)
		}
		line += bytes.Count(data[counted:at], []byte("\n"))
		counted = at
		r.begin, r.end, r.line = at, at+len(r.text), line
		if r.err != nil {
			r.err = r.fail("%v", r.err)
		}
		refs = append(refs, r)
		at = r.end
	}
}

// readReference reads the reference that text, which begins with a `$`, begins with; ok is false if it is just text.
func readReference(text []byte) (r reference, ok bool) {
	if len(text) == 1 {
		return reference{}, false
	}
	switch second := text[1]; {
	case second == '$':
		return reference{text: "$$", value: "$"}, true
	case second == '{':
		return readBraces(text), true
	case second == '(' || nameByte(second, true):
		return reference{text: string(text[:2]), err: errors.New("variables are written ${NAME}, and $ as text is written $$")}, true
	default:
		return reference{}, false
	}
}

// readBraces reads what begins with `${`.
func readBraces(text []byte) reference {
	const opening = len("${")
	end := bytes.IndexAny(text, "}\n")
	if end < 0 || text[end] == '\n' {
		return reference{text: "${", err: errors.New("there is no } on the line")}
	}
	r := reference{text: string(text[:end+1])}
	name, fallback, _ := strings.Cut(r.text[opening:end], defaultSign)
	for i := range len(name) {
		if !nameByte(name[i], i == 0) {
			name = ""
			break
		}
	}
	if name == "" || strings.Contains(fallback, "$") {
		r.err = errors.New("want ${NAME} or ${NAME:-default}, a name of letters, digits and _, a default without $ and }")
	}
	return r
}

func nameByte(c byte, first bool) bool {
	return c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || !first && c >= '0' && c <= '9'
}

// replace is data with each reference replaced.
func replace(data []byte, refs []reference, by func(i int) string) []byte {
	var out bytes.Buffer
	at := 0
	for i := range refs {
		out.Write(data[at:refs[i].begin])
		out.WriteString(by(i))
		at = refs[i].end
	}
	out.Write(data[at:])
	return out.Bytes()
}

// marks are words that the file does not have; they hold the places of references while it is parsed.
type marks struct{ prefix string }

func newMarks(data []byte) marks {
	for n := 0; ; n++ {
		// No escape of YAML begins with a q, so none can swallow a part of it.
		if prefix := fmt.Sprintf("quux%dx", n); !bytes.Contains(data, []byte(prefix)) {
			return marks{prefix: prefix}
		}
	}
}

func (m marks) of(i int) string { return fmt.Sprintf("%s%03dy", m.prefix, i) }

// markUsed notes which references stand in scalars. Comments are none; anchors and tags are not, either.
func markUsed(n *yaml.Node, refs []reference, marks marks) {
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, marks.prefix) {
		for i := range refs {
			refs[i].used = refs[i].used || strings.Contains(n.Value, marks.of(i))
		}
	}
	for _, child := range n.Content {
		markUsed(child, refs, marks)
	}
}

// same says that got is want with its marks replaced by values.
func same(want, got *yaml.Node, values *strings.Replacer) bool {
	if want.Kind != got.Kind || want.Anchor != got.Anchor || len(want.Content) != len(got.Content) {
		return false
	}
	if want.Kind == yaml.ScalarNode {
		value := values.Replace(want.Value)
		// A number or a boolean is as good as in the file, but `null` and `<<` would be no values.
		special := value != "" && got.Tag != want.Tag && (got.Tag == "!!null" || got.Tag == "!!merge")
		return got.Value == value && !special
	}
	for i := range want.Content {
		if !same(want.Content[i], got.Content[i], values) {
			return false
		}
	}
	return want.Value == got.Value // an alias's name
}
