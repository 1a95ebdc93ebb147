package smoke

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPatternsAreTheSameFromEverywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pattern{size: rapid.Int64Range(0, 5*block).Draw(t, "size")}
		p.seed[0] = rapid.Byte().Draw(t, "seed")
		all, err := io.ReadAll(p.reader(0, p.size))
		if err != nil || int64(len(all)) != p.size {
			t.Fatalf("%d bytes, %v", len(all), err)
		}
		offset := rapid.Int64Range(0, p.size).Draw(t, "offset")
		length := rapid.Int64Range(0, p.size-offset).Draw(t, "length")
		part, err := io.ReadAll(p.reader(offset, length))
		if err != nil || !bytes.Equal(part, all[offset:offset+length]) {
			t.Fatalf("from %d on: %d bytes, %v", offset, len(part), err)
		}
	})
}

func TestComparer(t *testing.T) {
	p := pattern{size: 3 * block}
	stored, err := io.ReadAll(p.reader(0, p.size))
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(stored)
	changed[block+7]++
	for name, tt := range map[string]struct {
		got  []byte
		says string
	}{
		"the same":       {stored, ""},
		"a part":         {stored[:block+1], ""}, // the client counts
		"a byte changed": {changed, "byte 4103 is not"},
		"more":           {append(bytes.Clone(stored), 0), "more bytes came"},
	} {
		c := &comparer{want: p.reader(0, p.size)}
		_, err := io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{bytes.NewReader(tt.got)}, make([]byte, 1000))
		if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
