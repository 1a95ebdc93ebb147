package survey

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
)

type readable map[string]bool

func (r readable) Readable(disk string) bool { return r[disk] }

func volume(state placementv1.VolumeState, changed time.Time, k, m uint32, disks ...string) *placementv1.Volume {
	v := &placementv1.Volume{
		State: state, ChangedMs: changed.UnixMilli(), Scheme: &typesv1.Scheme{K: k, M: m},
	}
	for _, d := range disks {
		v.Members = append(v.Members, &placementv1.Member{Disk: d})
	}
	return v
}

const (
	opening = placementv1.VolumeState_VOLUME_STATE_OPENING
	open    = placementv1.VolumeState_VOLUME_STATE_OPEN
	sealed  = placementv1.VolumeState_VOLUME_STATE_SEALED
)

func TestSurvey(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	fresh, old := now.Add(-TermLength), now.Add(-TermLength-time.Millisecond)
	disks := readable{"a": true, "b": true, "c": true}

	for _, c := range []struct {
		name    string
		volumes []*placementv1.Volume
		want    Findings
	}{
		{name: "an empty map"},
		{
			name:    "whole volumes",
			volumes: []*placementv1.Volume{volume(sealed, old, 2, 1, "a", "b", "c"), volume(sealed, fresh, 2, 1, "c", "b", "a")},
			want:    Findings{Spares: []Spare{{Columns: 1, Volumes: 2}}},
		},
		{
			name: "the most fragile first, below zero too",
			volumes: []*placementv1.Volume{
				volume(sealed, old, 2, 1, "a", "b", "c"),
				volume(sealed, old, 2, 1, "x", "y", "z"),
				volume(sealed, old, 2, 1, "a", "b", "x"),
			},
			want: Findings{Spares: []Spare{{-2, 1}, {0, 1}, {1, 1}}},
		},
		{
			name: "unsealed only once the term is over",
			volumes: []*placementv1.Volume{
				volume(open, fresh, 2, 1, "a", "b", "c"), volume(opening, fresh, 2, 1, "a", "b", "c"),
				volume(open, old, 2, 1, "a", "b", "c"), volume(opening, old, 2, 1, "a", "b", "c"),
			},
			want: Findings{Unsealed: 2},
		},
		{
			name:    "a state of a later version",
			volumes: []*placementv1.Volume{volume(99, old, 2, 1, "x", "y", "z")},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := New(disks, now)
			for _, v := range c.volumes {
				s.Add(v)
			}
			if diff := cmp.Diff(c.want, s.Findings()); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSparesSayWhatCanBeRead: a volume has spares to give exactly as long as k columns and more can be read.
func TestSparesSayWhatCanBeRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.Uint32Range(1, 12).Draw(t, "k")
		m := rapid.Uint32Range(1, 6).Draw(t, "m")
		disks, names, left := readable{}, []string(nil), 0
		for i := range int(k + m) {
			name := string(rune('a' + i))
			names = append(names, name)
			if rapid.Bool().Draw(t, name) {
				disks[name] = true
				left++
			}
		}
		if got := Spares(volume(sealed, time.Now(), k, m, names...), disks); got != left-int(k) {
			t.Fatalf("%d spares with %d of %d columns readable, k=%d", got, left, k+m, k)
		}
	})
}
