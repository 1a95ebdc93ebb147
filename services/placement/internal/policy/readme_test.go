package policy

import (
	"os"
	"strings"
	"testing"

	"github.com/drystone-store/drystone/services/datapath/erasure"
)

// TestReadmeTells keeps the tables of the README true. On a failure paste what it prints.
func TestReadmeTells(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, table := range map[string]string{"survival": survivalTable(t), "outage": outageTable(t)} {
		if !strings.Contains(string(readme), table) {
			t.Errorf("the README's table of %s is not this one:\n%s", name, table)
		}
	}
}

type house struct {
	name     string
	topology *Topology
}

func houses() []house {
	return []house{
		{"3 zones × 3 nodes", grid(1, 3, 3, 3)},
		{"3 × 4", grid(1, 4, 4, 4)},
		{"3 × 2", grid(1, 2, 2, 2)},
		{"3 × 1, 4 disks each", grid(4, 1, 1, 1)},
		{"2 × 3", grid(1, 3, 3)},
		{"1 × 6", grid(1, 6)},
		{"1 × 9", grid(1, 9)},
	}
}

func survivalTable(t *testing.T) string {
	t.Helper()
	var table strings.Builder
	row := func(first string, cell func(house) string) {
		table.WriteString("| " + first)
		for _, h := range houses() {
			table.WriteString(" | " + cell(h))
		}
		table.WriteString(" |\n")
	}
	row("scheme", func(h house) string { return h.name })
	row("---", func(house) string { return "---" })
	for _, text := range []string{"rs-2-1", "rs-1-2", "rs-4-2", "rs-3-3", "rs-5-4", "rs-7-5", "rs-8-4", "rs-6-6", "rs-6-2"} {
		scheme, err := erasure.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		row("`"+text+"`", func(h house) string {
			promise, err := Outlives(scheme, h.topology.Registered())
			if err != nil {
				return "refused"
			}
			return promise.String()
		})
	}
	return table.String()
}

func outageTable(t *testing.T) string {
	t.Helper()
	outages := [][]string{{"z0-n0"}, {"z0"}, {"z0", "z1-n0"}}
	var table strings.Builder
	table.WriteString("| topology | default | floor | a node down | a zone down | a zone and a node down |\n" +
		"| --- | --- | --- | --- | --- | --- |\n")
	for _, h := range houses() {
		scheme, err := Default(h.topology.Registered())
		if err != nil {
			t.Fatal(err)
		}
		floor, err := Floor(scheme, h.topology.Registered())
		if err != nil {
			t.Fatal(err)
		}
		table.WriteString("| " + h.name + " | `" + scheme.String() + "` | " + floor.String())
		for _, gone := range outages {
			left := h.topology
			for _, prefix := range gone {
				left = left.Without(ids(left, prefix)...)
			}
			if now, _, err := (Policy{}).ForWrite(left, scheme); err == nil {
				table.WriteString(" | `" + now.String() + "`")
			} else {
				table.WriteString(" | 503")
			}
		}
		table.WriteString(" |\n")
	}
	return table.String()
}
