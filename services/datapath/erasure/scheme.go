// Package erasure codes the columns of a stripe: a systematic Reed–Solomon code over GF(2^8), byte by byte, so that
// any k of the k+m columns give back the others. It corrects erasures, not errors: whoever calls it has verified
// the checksums of every column that it hands in.
package erasure

import (
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// MaxK bounds the data columns: a stripe of k blocks is what a writer and a degraded read hold in memory, and
	// each column is one more member that an append waits for.
	MaxK = 32
	// MaxM bounds the parity columns: coding costs k·m multiplications a byte, and sixteen lost columns outlast
	// every topology that the durability model knows.
	MaxM = 16

	prefix = "rs-"
)

// Scheme is k data and m parity columns, written rs-k-m. Any m columns may be lost.
type Scheme struct {
	// K is the number of data columns.
	K int
	// M is the number of parity columns.
	M int
}

// Parse reads a scheme as String writes it, for example "rs-5-4". Errors: INVALID_SCHEME.
func Parse(text string) (Scheme, error) {
	rest, found := strings.CutPrefix(text, prefix)
	if !found {
		return Scheme{}, invalid("scheme %q: write it rs-k-m, for example rs-5-4", text)
	}
	left, right, found := strings.Cut(rest, "-")
	if !found {
		return Scheme{}, invalid("scheme %q: the number of parity columns is missing; write it rs-k-m", text)
	}
	k, err := parseCount(left)
	if err != nil {
		return Scheme{}, invalid("scheme %q: data columns: %v", text, err)
	}
	m, err := parseCount(right)
	if err != nil {
		return Scheme{}, invalid("scheme %q: parity columns: %v", text, err)
	}
	s := Scheme{K: k, M: m}
	if err := s.Validate(); err != nil {
		return Scheme{}, err
	}
	return s, nil
}

// parseCount reads a decimal without sign or leading zeros, so that each scheme has one spelling.
func parseCount(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0, &countError{text: text}
	}
	return int(n), nil
}

type countError struct{ text string }

func (e *countError) Error() string {
	return strconv.Quote(e.text) + " is not a plain decimal number"
}

// FromProto converts a scheme of the wire; nil is as invalid as zero columns. Errors: INVALID_SCHEME.
func FromProto(p *typesv1.Scheme) (Scheme, error) {
	// Compared before the conversion, so that a huge number cannot wrap into bounds.
	if p.GetK() > MaxK || p.GetM() > MaxM {
		return Scheme{}, outOfBounds(uint64(p.GetK()), uint64(p.GetM()))
	}
	s := Scheme{K: int(p.GetK()), M: int(p.GetM())}
	return s, s.Validate()
}

// Proto is the scheme as it travels.
func (s Scheme) Proto() *typesv1.Scheme {
	return &typesv1.Scheme{K: uint32(s.K), M: uint32(s.M)}
}

// N is the number of all columns, k+m.
func (s Scheme) N() int { return s.K + s.M }

// String writes rs-k-m.
func (s Scheme) String() string {
	return prefix + strconv.Itoa(s.K) + "-" + strconv.Itoa(s.M)
}

// Validate checks 1 ≤ k ≤ MaxK and 1 ≤ m ≤ MaxM. Errors: INVALID_SCHEME.
func (s Scheme) Validate() error {
	if s.K < 1 || s.K > MaxK || s.M < 1 || s.M > MaxM {
		return outOfBounds(s.K, s.M)
	}
	return nil
}

func outOfBounds[N int | uint64](k, m N) error {
	return invalid("scheme rs-%d-%d: k must be 1 to %d and m 1 to %d", k, m, MaxK, MaxM)
}

func invalid(format string, args ...any) error {
	return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_SCHEME, format, args...)
}
