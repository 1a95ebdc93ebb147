package erasure_test

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"pgregory.net/rapid"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]erasure.Scheme{
		"rs-1-1":   {K: 1, M: 1},
		"rs-5-4":   {K: 5, M: 4},
		"rs-8-4":   {K: 8, M: 4},
		"rs-32-16": {K: 32, M: 16},
	} {
		got, err := erasure.Parse(text)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":            "",
		"no prefix":        "5-4",
		"other code":       "xor-2-1",
		"upper case":       "RS-5-4",
		"no parity":        "rs-5",
		"empty parity":     "rs-5-",
		"three numbers":    "rs-5-4-3",
		"zero data":        "rs-0-4",
		"zero parity":      "rs-5-0",
		"data over 32":     "rs-33-4",
		"parity over 16":   "rs-5-17",
		"sign":             "rs-+5-4",
		"negative":         "rs--5-4",
		"leading zero":     "rs-05-4",
		"space":            "rs-5- 4",
		"beyond 64 bits":   "rs-99999999999999999999-4",
		"hexadecimal":      "rs-0x5-4",
		"other digits":     "rs-٥-4",
		"trailing garbage": "rs-5-4\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := erasure.Parse(text)
			if !fault.Is(err, typesv1.Reason_REASON_INVALID_SCHEME) || fault.Code(err) != codes.InvalidArgument {
				t.Fatalf("Parse(%q) = %v, %v; want INVALID_SCHEME", text, got, err)
			}
		})
	}
}

func TestFromProtoRefuses(t *testing.T) {
	for name, p := range map[string]*typesv1.Scheme{
		"nil":   nil,
		"zero":  {},
		"no m":  {K: 4},
		"large": {K: 1 << 31, M: 1},
		"wraps": {K: 1<<32 - 1, M: 1<<32 - 1},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := erasure.FromProto(p); !fault.Is(err, typesv1.Reason_REASON_INVALID_SCHEME) {
				t.Fatalf("FromProto(%v) = %v; want INVALID_SCHEME", p, err)
			}
		})
	}
}

func TestSchemeRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := erasure.Scheme{K: rapid.IntRange(1, erasure.MaxK).Draw(t, "k"), M: rapid.IntRange(1, erasure.MaxM).Draw(t, "m")}
		parsed, err := erasure.Parse(s.String())
		if err != nil || parsed != s {
			t.Fatalf("Parse(%q) = %v, %v", s, parsed, err)
		}
		travelled, err := erasure.FromProto(s.Proto())
		if err != nil || travelled != s {
			t.Fatalf("FromProto(%v.Proto()) = %v, %v", s, travelled, err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"rs-5-4", "rs-32-16", "rs-0-0", "rs--", "rs-5-4-", "xs-1-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := erasure.Parse(text)
		if err == nil && (s.String() != text || s.Validate() != nil) {
			t.Fatalf("Parse(%q) = %v, which is written %q", text, s, s)
		}
		if err != nil && !fault.Is(err, typesv1.Reason_REASON_INVALID_SCHEME) {
			t.Fatalf("Parse(%q): %v has no reason", text, err)
		}
	})
}

func ExampleParse() {
	s, err := erasure.Parse("rs-5-4")
	fmt.Println(s.K, s.M, s.N(), err)
	_, err = erasure.Parse("rs-5-40")
	fmt.Println(err)
	// Output:
	// 5 4 9 <nil>
	// scheme rs-5-40: k must be 1 to 32 and m 1 to 16
}
