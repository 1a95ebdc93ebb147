package clock_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/drystone-store/drystone/services/kit/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The variable is read once a process, so another process reads it.
func TestOffsetIsReadFromTheEnvironment(t *testing.T) {
	const child = "CLOCK_TEST_CHILD"
	if os.Getenv(child) != "" {
		offset, err := clock.Offset()
		begin := clock.Now()
		ahead := time.Until(begin).Round(time.Minute)
		t.Logf("offset=%v error=%v ahead=%v since=%v", offset, err != nil, ahead, clock.Since(begin) < time.Minute)
		return
	}
	for _, tt := range []struct{ value, want string }{
		{"8760h", "offset=8760h0m0s error=false ahead=8760h0m0s since=true"},
		{"next year", "offset=0s error=true ahead=0s since=true"},
		{"", "offset=0s error=false ahead=0s since=true"},
	} {
		t.Run(tt.value, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestOffsetIsReadFromTheEnvironment$", "-test.v")
			cmd.Env = append(os.Environ(), child+"=1", clock.OffsetEnv+"="+tt.value)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v\n%s\nwant %s", err, out, tt.want)
			}
		})
	}
}
