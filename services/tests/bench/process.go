package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticks is the kernel's USER_HZ, the unit of CPU time in /proc; it is 100 on every Linux that Go supports.
const ticks = 100

// Usage is what the kernel says that a process has used so far.
type Usage struct {
	CPU     time.Duration
	Written int64 // bytes caused to be sent to the storage layer
	RSS     int64 // bytes
	PeakRSS int64 // bytes
}

// ReadUsage reads /proc for the processes, summed.
func ReadUsage(pids ...int) (Usage, error) {
	var sum Usage
	for _, pid := range pids {
		u, err := readUsage(pid)
		if err != nil {
			return sum, err
		}
		sum.CPU += u.CPU
		sum.Written += u.Written
		sum.RSS += u.RSS
		sum.PeakRSS += u.PeakRSS
	}
	return sum, nil
}

func readUsage(pid int) (Usage, error) {
	var u Usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, fmt.Errorf("read cpu time: %w", err)
	}
	// The second field is the command in parentheses and may hold spaces: count from behind it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return u, fmt.Errorf("read cpu time: %q", stat)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return u, fmt.Errorf("read cpu time: %q", stat)
	}
	u.CPU = time.Duration(user+system) * time.Second / ticks
	if u.Written, err = procField(pid, "io", "write_bytes"); err != nil {
		return u, err
	}
	rss, err := procField(pid, "status", "VmRSS")
	if err != nil {
		return u, err
	}
	peak, err := procField(pid, "status", "VmHWM")
	if err != nil {
		return u, err
	}
	u.RSS, u.PeakRSS = rss<<10, peak<<10
	return u, nil
}

func procField(pid int, file, name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("read %s: /proc/%d/%s does not have it", name, pid, file)
}
