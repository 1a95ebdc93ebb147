// Package clock is the one seam for wall time, so that a drill can make one process live in another year.
//
// Timers, tickers and context deadlines use package time directly: they measure durations, which an offset does not
// change, and testing/synctest covers them.
package clock

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// OffsetEnv names the environment variable with a Go duration that is added to the machine's wall time. It is read
// once; app.Main refuses to start on a value that does not parse.
const OffsetEnv = "DRYSTONE_CLOCK_OFFSET"

type setting struct {
	offset time.Duration
	err    error
}

// readOnce is the package's only state: a drill sets the variable before the process starts, so it cannot change.
var readOnce = sync.OnceValue(func() setting { // see above
	d, err := parse(os.Getenv(OffsetEnv))
	return setting{offset: d, err: err}
})

// parse is the offset that a value of OffsetEnv asks for.
func parse(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("parse %s: %w", OffsetEnv, err)
	}
	return d, nil
}

// Offset is what is added to the machine's time. The error says that OffsetEnv does not parse; the offset is 0 then.
func Offset() (time.Duration, error) {
	s := readOnce()
	return s.offset, s.err
}

// Now is the wall time. It keeps the monotonic reading, so differences of two of its values do not jump.
func Now() time.Time {
	return time.Now().Add(readOnce().offset)
}

// UnixMilli is Now in milliseconds since 1970.
func UnixMilli() int64 { return Now().UnixMilli() }

// Since is the time that passed since t, which came from Now. (time.Since would count the offset.)
func Since(t time.Time) time.Duration { return Now().Sub(t) }
