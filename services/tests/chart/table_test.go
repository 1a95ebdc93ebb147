package chart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestValuesTable keeps the table in charts/README.md what values.yaml says.
func TestValuesTable(t *testing.T) {
	const (
		readme     = root + "/charts/README.md"
		begin, end = "<!-- values -->\n", "<!-- /values -->"
	)
	raw, err := os.ReadFile(folder + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| value | default | |\n| --- | --- | --- |\n")
	rows(t, &table, "", document.Content[0])
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := bytes.Cut(text, []byte(begin))
	old, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", readme)
	}
	if *update {
		if err := os.WriteFile(readme, fmt.Appendf(nil, "%s%s%s%s%s", before, begin, &table, end, after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(old), table.String()); diff != "" {
		t.Errorf("`make golden` rewrites it (-readme +values.yaml):\n%s", diff)
	}
}

// rows writes a line for each value that has a comment of its own; every leaf must.
func rows(t *testing.T, out *strings.Builder, prefix string, node *yaml.Node) {
	t.Helper()
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		path := prefix + key.Value
		comment, documented := strings.CutPrefix(key.HeadComment[strings.LastIndex("\n"+key.HeadComment, "\n"):], "# -- ")
		switch {
		case documented:
			fmt.Fprintf(out, "| `%s` | %s | %s |\n", path, inline(t, value), strings.ReplaceAll(comment, "|", `\|`))
		case value.Kind == yaml.MappingNode && len(value.Content) > 0:
			rows(t, out, path+".", value)
		default:
			t.Errorf("values.yaml: %s has no comment `# -- …`", path)
		}
	}
}

// inline is a value as JSON in a table's cell.
func inline(t *testing.T, node *yaml.Node) string {
	t.Helper()
	var v any
	if err := node.Decode(&v); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return "`" + string(raw) + "`"
}
