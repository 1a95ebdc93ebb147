package policy

import (
	"slices"
	"strconv"

	"github.com/drystone-store/drystone/services/datapath/erasure"
)

// Promise is what may be lost at one time without losing bytes: whole zones, and then disks anywhere else.
type Promise struct{ Zones, Disks int }

// Survives is the most that a scheme outlives when its columns lie so over the zones: first as many whole zones as
// it can (the widest ones), then disks.
func Survives(scheme erasure.Scheme, zones []int) Promise {
	widest := slices.Clone(zones)
	slices.SortFunc(widest, func(a, b int) int { return b - a })
	promise := Promise{Disks: scheme.M}
	for _, columns := range widest {
		if columns == 0 || columns > promise.Disks {
			break
		}
		promise.Zones++
		promise.Disks -= columns
	}
	return promise
}

// String says it in words: "one zone and one disk".
func (p Promise) String() string {
	zones, disks := amount(p.Zones, "zone"), amount(p.Disks, "disk")
	switch {
	case p.Zones > 0 && p.Disks > 0:
		return zones + " and " + disks
	case p.Zones > 0:
		return zones
	case p.Disks > 0:
		return disks
	default:
		return "no loss"
	}
}

// amount writes small numbers as words.
func amount(n int, noun string) string {
	words := [...]string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"}
	text := strconv.Itoa(n)
	if n < len(words) {
		text = words[n]
	}
	if n != 1 {
		noun += "s"
	}
	return text + " " + noun
}

// keptBy says whether a scheme spread so outlives the promised zones, the widest ones, and after them the disks. That
// is m ≥ w + d for one zone that holds w columns.
func (p Promise) keptBy(scheme erasure.Scheme, s shape) bool {
	need := p.Disks
	for i := range min(p.Zones, len(s.zones)) {
		need += s.zones[i]
	}
	return scheme.M >= need
}

// floors are the promises that a floor may be, strongest first. The last one is kept by every scheme.
func floors() []Promise {
	return []Promise{{Zones: 1, Disks: 1}, {Zones: 1}, {Disks: 1}}
}
