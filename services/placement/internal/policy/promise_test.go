package policy

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/drystone-store/drystone/services/datapath/erasure"
)

func TestSurvives(t *testing.T) {
	for _, c := range []struct {
		scheme string
		zones  []int
		want   string
	}{
		{"rs-5-4", []int{3, 3, 3}, "one zone and one disk"},
		{"rs-4-2", []int{2, 2, 2}, "one zone"},
		{"rs-8-4", []int{4, 4, 4}, "one zone"},
		{"rs-10-4", []int{5, 5, 4}, "four disks"},
		{"rs-4-2", []int{1, 1, 1, 1, 1, 1}, "two zones"},
		{"rs-2-4", []int{3, 3}, "one zone and one disk"},
		{"rs-7-5", []int{4, 4, 4}, "one zone and one disk"},
		{"rs-6-6", []int{4, 4, 4}, "one zone and two disks"},
		{"rs-4-4", []int{2, 3, 3}, "one zone and one disk"},
		{"rs-5-4", []int{9}, "four disks"},
		{"rs-2-1", []int{3}, "one disk"},
		{"rs-1-13", []int{14}, "13 disks"},
		{"rs-1-2", []int{1, 1, 1, 0}, "two zones"},
	} {
		t.Run(c.scheme, func(t *testing.T) {
			scheme, err := erasure.Parse(c.scheme)
			if err != nil {
				t.Fatal(err)
			}
			if got := Survives(scheme, c.zones).String(); got != c.want {
				t.Errorf("over zones %v: %s, want %s", c.zones, got, c.want)
			}
		})
	}
	if got := (Promise{}).String(); got != "no loss" {
		t.Errorf("nothing: %s", got)
	}
}

// TestSurvivesIsTrue loses what was promised in every way that small spreads allow, and one disk more in the worst.
func TestSurvivesIsTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zones := rapid.SliceOfN(rapid.IntRange(0, 5), 1, 6).Draw(t, "zones")
		n := 0
		for _, columns := range zones {
			n += columns
		}
		if n < 2 {
			t.Skip("no scheme")
		}
		m := rapid.IntRange(1, min(n-1, erasure.MaxM)).Draw(t, "m")
		promise := Survives(erasure.Scheme{K: n - m, M: m}, zones)
		worst := 0 // most columns in as many zones as promised
		for set := range 1 << len(zones) {
			lost, count := 0, 0
			for z, columns := range zones {
				if set>>z&1 == 1 {
					lost, count = lost+columns, count+1
				}
			}
			if count == promise.Zones {
				worst = max(worst, lost)
			}
		}
		if worst+promise.Disks != m {
			t.Fatalf("%v over %v: worst loss is %d zone columns and %d disks; exactly m = %d should be survived",
				promise, zones, worst, promise.Disks, m)
		}
	})
}
