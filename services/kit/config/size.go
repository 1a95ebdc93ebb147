package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Size is a number of bytes, written `4096`, `64KiB`, `1MiB`, `10GiB` or `2TiB`. Durations need no such type: YAML
// decodes time.Duration from `1m30s`.
type Size int64

// sizeUnits are tried in this order: the plain B last, since all end in it.
func sizeUnits() []struct {
	suffix string
	shift  int
} {
	return []struct {
		suffix string
		shift  int
	}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}, {"B", 0}}
}

// ParseSize reads a size. Errors: no number, a negative one, an unknown unit, more than an int64 holds.
func ParseSize(text string) (Size, error) {
	number, shift := strings.TrimSpace(text), 0
	for _, u := range sizeUnits() {
		if n, ok := strings.CutSuffix(number, u.suffix); ok {
			number, shift = strings.TrimSpace(n), u.shift
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("size %q: want a whole number and B, KiB, MiB, GiB or TiB", text)
	}
	if n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("size %q: too large", text)
	}
	return Size(n << shift), nil
}

// String writes the size with the largest unit that divides it.
func (s Size) String() string {
	units := sizeUnits()
	for i := len(units) - 1; i >= 0; i-- { // TiB first; B, the last, does not shift
		if u := units[i]; u.shift > 0 && s != 0 && s%(1<<u.shift) == 0 {
			return strconv.FormatInt(int64(s)>>u.shift, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// UnmarshalYAML reads a size. Its errors are of the type that the decoder collects instead of stopping.
func (s *Size) UnmarshalYAML(node *yaml.Node) error {
	parsed, err := ParseSize(node.Value)
	if node.Kind != yaml.ScalarNode {
		err = errors.New("a size is a scalar")
	}
	if err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %v", node.Line, err)}}
	}
	*s = parsed
	return nil
}

// MarshalYAML writes String.
func (s Size) MarshalYAML() (any, error) { return s.String(), nil }
