package progress

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLineTellsHowFarItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := start(&out, "a/very/long/name/that/does/not/fit/into/eighty/columns/of/a/terminal/cat.jpg", func() int { return 80 })
		l.Expect(2, 4096)
		if _, err := io.ReadFull(l.Reader(strings.NewReader(strings.Repeat("x", 1024))), make([]byte, 1024)); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Writer(io.Discard).Write(make([]byte, 1024)); err != nil {
			t.Fatal(err)
		}
		l.FileDone()
		time.Sleep(time.Second + period/2)
		synctest.Wait()
		last := out.String()[strings.LastIndex(out.String(), wipe)+len(wipe):]
		for _, want := range []string{"50%", "2.0 KiB of 4.0 KiB", "1 of 2 files", "2.0 KiB/s", "1s left", "cat.jpg"} {
			if !strings.Contains(last, want) {
				t.Errorf("%q is not in %q", want, last)
			}
		}
		l.Stop()
		if !strings.HasSuffix(out.String(), wipe) {
			t.Error("the line was left behind")
		}
	})
}

func TestSeekingBackTakesBytesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := start(io.Discard, "x", func() int { return 80 })
		defer l.Stop()
		r := l.Reader(strings.NewReader("hello"))
		for range 2 {
			if _, err := io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
			if got := l.done.Load(); got != 5 {
				t.Errorf("%d bytes counted, 5 read", got)
			}
			if _, err := r.(io.Seeker).Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestNoLineWithoutATerminal(t *testing.T) {
	l := Start(&bytes.Buffer{}, "x")
	if l != nil {
		t.Fatal("a line on what is no terminal")
	}
	l.Expect(1, 1)
	l.FileDone()
	l.Wipe()
	if got, err := io.ReadAll(l.Reader(strings.NewReader("x"))); err != nil || string(got) != "x" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := l.Writer(io.Discard).Write([]byte("x")); err != nil {
		t.Error(err)
	}
	l.Stop()
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 30: "5.0 GiB", 1 << 62: "4.0 EiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
