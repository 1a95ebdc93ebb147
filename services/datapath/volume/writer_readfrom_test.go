package volume

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

var _ io.ReaderFrom = (*Stream)(nil)

// TestReadFrom: what a stream reads itself lies where it would lie if it had been written, whatever portions it comes in,
// and both can take turns.
func TestReadFrom(t *testing.T) {
	halves := func(b []byte) io.Reader { return iotest.HalfReader(bytes.NewReader(b)) }
	for name, tt := range map[string]struct {
		size, written int
		reader        func([]byte) io.Reader
	}{
		"nothing":                    {0, 0, halves},
		"one byte":                   {1, 0, halves},
		"less than a stripe":         {mib, 0, halves},
		"many stripes":               {23*mib + 5, 0, halves},
		"the end with the last data": {11 * mib, 0, func(b []byte) io.Reader { return iotest.DataErrReader(bytes.NewReader(b)) }},
		"behind written bytes":       {11 * mib, 300_001, halves},
		"nothing behind all of them": {7 * mib, 7 * mib, halves},
	} {
		for _, announce := range []bool{true, false} {
			t.Run(name+map[bool]string{true: ", announced", false: ""}[announce], func(t *testing.T) {
				h := newHarness(t, harnessOptions{})
				defer h.stop()
				r := rand.New(rand.NewPCG(5, 6))
				payload := randomBytes(r, tt.size)
				hd := header("read")
				if announce {
					hd.ObjectSize = uint64(len(payload))
				}
				s, err := h.writer.Stream(t.Context(), rs54, hd)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Write(payload[:tt.written]); err != nil {
					t.Fatal(err)
				}
				n, err := s.ReadFrom(tt.reader(payload[tt.written:]))
				if err != nil || n != int64(tt.size-tt.written) {
					t.Fatalf("%d bytes read, %v", n, err)
				}
				placed, err := s.Finish(t.Context(), checksumOf(uint64(len(payload))))
				if err != nil {
					t.Fatal(err)
				}
				h.remember(placed, payload)
				h.stop()
				h.verify(r)
			})
		}
	}
}

func TestReadFromFails(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		reader io.Reader
		want   func(error) bool
	}{
		"the reader's error comes back": {
			io.MultiReader(bytes.NewReader(make([]byte, 3*mib)), iotest.ErrReader(broken)), func(err error) bool { return errors.Is(err, broken) },
		},
		"at the end, too": {
			io.MultiReader(bytes.NewReader(make([]byte, 4*mib)), iotest.ErrReader(broken)), func(err error) bool { return errors.Is(err, broken) },
		},
		"more than announced": {
			bytes.NewReader(make([]byte, 4*mib+1)), func(err error) bool { return fault.Is(err, typesv1.Reason_REASON_BODY_TOO_LONG) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, harnessOptions{})
			defer h.stop()
			hd := header("read")
			hd.ObjectSize = 4 * mib
			s, err := h.writer.Stream(t.Context(), rs54, hd)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.ReadFrom(tt.reader); !tt.want(err) {
				t.Errorf("got %v", err)
			}
			s.Abort()
			h.stop()
			if err := h.leaks(); err != nil {
				t.Error(err)
			}
		})
	}
}
