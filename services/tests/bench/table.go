package bench

import (
	"fmt"
	"io"
	"time"
)

// TableHead writes the heading of the table that Row fills.
func TableHead(w io.Writer) {
	fmt.Fprintln(w, "| op | size | clients | ops/s | MiB/s | p50 ms | p99 ms | CPU-s/GiB | CPU-s/1,000 | write amp. | RSS MiB |")
	fmt.Fprintln(w, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
}

// Row writes one result; what has no meaning for the operation is a dash.
func Row(w io.Writer, r Result) {
	gib, amp, mib := "–", "–", "–"
	if r.Bytes > 0 {
		gib = fmt.Sprintf("%.2f", r.Cost.CPU.Seconds()/(float64(r.Bytes)/(1<<30)))
		mib = fmt.Sprintf("%.0f", r.MiBPerSecond())
	}
	if r.Op == "PUT" && r.Bytes > 0 {
		amp = fmt.Sprintf("%.2f", float64(r.Cost.Written)/float64(r.Bytes))
	}
	size := "–"
	if r.Size > 0 {
		size = Size(r.Size)
	}
	fmt.Fprintf(w, "| %s | %s | %d | %.0f | %s | %s | %s | %s | %.3f | %s | %d |\n",
		r.Op, size, r.Clients, r.OpsPerSecond(), mib, millis(r.P50), millis(r.P99), gib,
		r.Cost.CPU.Seconds()/(float64(r.Ops)/1000), amp, r.Cost.RSS>>20)
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }

// Size writes bytes with a binary unit, as in "4 KiB".
func Size(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	default:
		return fmt.Sprintf("%d B", n)
	}
}
