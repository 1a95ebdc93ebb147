package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"", 0, true},
		{"90m", 90 * time.Minute, true},
		{"-15m", -15 * time.Minute, true},
		{"87600h", 10 * 365 * 24 * time.Hour, true},
		{"10y", 0, false},
		{"5", 0, false},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := parse(tt.text)
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestNowFollowsTheBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, milli := Now(), UnixMilli()
		time.Sleep(time.Hour)
		if got := Since(begin); got != time.Hour {
			t.Errorf("an hour took %v", got)
		}
		if got := UnixMilli() - milli; got != time.Hour.Milliseconds() {
			t.Errorf("an hour took %d ms", got)
		}
	})
}
