// Package progress draws one line that tells how far a copy has come. It draws only on a terminal.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"github.com/drystone-store/drystone/services/kit/clock"
)

const (
	// Redraws a second: smooth to the eye, nothing to the processor.
	period = 100 * time.Millisecond
	// A rate over less than this says little.
	settle = 500 * time.Millisecond
	// Of a terminal that does not tell its width.
	defaultWidth = 80
	barWidth     = 24
	minNameWidth = 12
	// Back to the line's beginning, clear to its end.
	wipe = "\r\x1b[K"
)

// Line is one line of progress for one or more files. The zero value and nil count nothing and draw nothing.
type Line struct {
	out   io.Writer
	width func() int
	name  string
	begun time.Time

	done, total       atomic.Int64 // bytes
	files, totalFiles atomic.Int64

	stop chan struct{}
	wait sync.WaitGroup
}

// Start begins a line called name on out when out is a terminal; otherwise it returns nil, which is a Line that does
// nothing. Stop ends it.
func Start(out io.Writer, name string) *Line {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return start(out, name, func() int {
		w, _, err := term.GetSize(int(f.Fd()))
		if err != nil || w <= 0 {
			return defaultWidth
		}
		return w
	})
}

func start(out io.Writer, name string, width func() int) *Line {
	l := &Line{out: out, width: width, name: name, begun: clock.Now(), stop: make(chan struct{})}
	l.wait.Go(l.loop)
	return l
}

func (l *Line) loop() {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.draw()
		case <-l.stop:
			_, _ = fmt.Fprint(l.out, wipe)
			return
		}
	}
}

// Expect adds files and bytes to the whole; bytes below 0 are not known.
func (l *Line) Expect(files, bytes int64) {
	if l == nil {
		return
	}
	l.totalFiles.Add(files)
	l.total.Add(max(bytes, 0))
}

// FileDone counts a file that is finished.
func (l *Line) FileDone() {
	if l != nil {
		l.files.Add(1)
	}
}

// Reader counts what is read through it. It can be sought if r can: seeking back takes the bytes back.
func (l *Line) Reader(r io.Reader) io.Reader {
	if l == nil {
		return r
	}
	c := &reader{Reader: r, line: l}
	if s, ok := r.(io.Seeker); ok {
		return &seeker{reader: c, seek: s}
	}
	return c
}

// Writer counts what is written through it.
func (l *Line) Writer(w io.Writer) io.Writer {
	if l == nil {
		return w
	}
	return writer{w, l}
}

// Wipe clears the line before other text; the next redraw comes by itself.
func (l *Line) Wipe() {
	if l != nil {
		_, _ = fmt.Fprint(l.out, wipe)
	}
}

// Stop wipes the line.
func (l *Line) Stop() {
	if l == nil {
		return
	}
	close(l.stop)
	l.wait.Wait()
}

type reader struct {
	io.Reader
	line *Line
	n    int64
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += int64(n)
	r.line.done.Add(int64(n))
	return n, err
}

type seeker struct {
	*reader
	seek io.Seeker
}

// Seek implements io.Seeker; the count begins again from there.
func (s *seeker) Seek(offset int64, whence int) (int64, error) {
	at, err := s.seek.Seek(offset, whence)
	if err == nil {
		s.line.done.Add(-s.n)
		s.n = 0
	}
	return at, err
}

type writer struct {
	io.Writer
	line *Line
}

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.line.done.Add(int64(n))
	return n, err
}

func (l *Line) draw() {
	done, total, elapsed := l.done.Load(), l.total.Load(), clock.Since(l.begun)
	var facts strings.Builder
	if total > 0 {
		part := min(float64(done)/float64(total), 1)
		full := int(part * barWidth)
		fmt.Fprintf(&facts, " [%s%s] %3.0f%%", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), part*100)
	}
	fmt.Fprintf(&facts, " %s", Bytes(done))
	if total > 0 {
		fmt.Fprintf(&facts, " of %s", Bytes(total))
	}
	if n := l.totalFiles.Load(); n > 1 {
		fmt.Fprintf(&facts, ", %d of %d files", l.files.Load(), n)
	}
	if elapsed >= settle {
		rate := float64(done) / elapsed.Seconds()
		fmt.Fprintf(&facts, ", %s/s", Bytes(int64(rate)))
		if total > done && rate > 1 {
			fmt.Fprintf(&facts, ", %s left", time.Duration(float64(total-done)/rate*float64(time.Second)).Round(time.Second))
		}
	}
	room := max(l.width()-1-facts.Len(), minNameWidth)
	_, _ = fmt.Fprintf(l.out, "%s%s%s", wipe, shorten(l.name, room), facts.String())
}

// shorten keeps the end of a name: that is where names differ.
func shorten(name string, room int) string {
	runes := []rune(name)
	if len(runes) <= room {
		return name
	}
	return "…" + string(runes[len(runes)-room+1:])
}

// Bytes writes a number of bytes for people, in binary units.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	div, exp := int64(unit), 0
	for m := n / unit; m >= unit; m /= unit {
		div *= unit
		exp++
	}
	return fmt.Sprintf("%.1f %ciB", float64(n)/float64(div), "KMGTPE"[exp])
}
