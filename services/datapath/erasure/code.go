package erasure

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/klauspost/reedsolomon"
)

var (
	// ErrShape says that the columns handed in are not n, or not of one length.
	ErrShape = errors.New("erasure: columns have the wrong shape")
	// ErrTooFew says that fewer than k columns were handed in.
	ErrTooFew = errors.New("erasure: fewer than k columns")
)

// Code codes and decodes under one scheme. It is safe for concurrent use.
type Code struct {
	scheme  Scheme
	encoder reedsolomon.Encoder
}

// memo keeps every Code that was ever made: there are at most MaxK·MaxM, a Code never changes, and its cache of
// inverted matrices is worth keeping. It is a table of a pure function's values, nothing else may live here.
var memo [MaxK + 1][MaxM + 1]atomic.Pointer[Code]

// NewCode returns the Code of a scheme; calls with one scheme share it. Errors: INVALID_SCHEME.
func NewCode(s Scheme) (*Code, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	slot := &memo[s.K][s.M]
	if code := slot.Load(); code != nil {
		return code, nil
	}
	// The matrix is the library's default (systematic, made from a Vandermonde matrix); volumes on disk depend on
	// it and golden vectors pin it. One goroutine: appends and reads are many at a time and share few cores, and a
	// 1 MiB column takes less time to code than several goroutines take to start (README.md has the figures).
	encoder, err := reedsolomon.New(s.K, s.M, reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return nil, fmt.Errorf("making the code of %s: %w", s, err)
	}
	slot.CompareAndSwap(nil, &Code{scheme: s, encoder: encoder})
	return slot.Load(), nil
}

// Scheme is what the code was made for.
func (c *Code) Scheme() Scheme { return c.scheme }

// Encode overwrites columns[k:] with the parity of columns[:k]. There are n columns of one length; length 0 is a
// stripe of zeros and does nothing. Nothing is allocated per byte and nothing is copied. Errors: ErrShape.
func (c *Code) Encode(columns [][]byte) error {
	size, err := c.fullShape(columns)
	if err != nil || size == 0 {
		return err
	}
	if err := c.encoder.Encode(columns); err != nil {
		return fmt.Errorf("encoding %s: %w", c.scheme, err)
	}
	return nil
}

// Reconstruct computes the wanted columns that are missing (nil or of length 0) from the first k that are there.
// A wanted column with enough capacity is filled in place, whatever the capacity holds; another one is allocated.
// Columns that are there are trusted and never written; missing ones that nobody wants stay missing.
// Errors: ErrShape, ErrTooFew.
func (c *Code) Reconstruct(columns [][]byte, want []int) error {
	n := c.scheme.N()
	if len(columns) != n {
		return fmt.Errorf("%w: %d columns for %s", ErrShape, len(columns), c.scheme)
	}
	if err := c.enough(columns); err != nil {
		return err
	}
	var required [MaxK + MaxM]bool
	for _, column := range want {
		if column < 0 || column >= n {
			return fmt.Errorf("%w: column %d wanted of %s", ErrShape, column, c.scheme)
		}
		required[column] = true
	}
	if err := c.encoder.ReconstructSome(columns, required[:n]); err != nil {
		return fmt.Errorf("reconstructing %s: %w", c.scheme, err)
	}
	return nil
}

// Verify says whether columns[k:] are the parity of columns[:k]; none may be missing. It cannot say which column is
// wrong. It allocates m columns: it is for audits, not for reads. Errors: ErrShape.
func (c *Code) Verify(columns [][]byte) (bool, error) {
	size, err := c.fullShape(columns)
	if err != nil || size == 0 {
		return err == nil, err
	}
	ok, err := c.encoder.Verify(columns)
	if err != nil {
		return false, fmt.Errorf("verifying %s: %w", c.scheme, err)
	}
	return ok, nil
}

// fullShape checks that there are n columns of one length and answers it.
func (c *Code) fullShape(columns [][]byte) (int, error) {
	if len(columns) != c.scheme.N() {
		return 0, fmt.Errorf("%w: %d columns for %s", ErrShape, len(columns), c.scheme)
	}
	size := len(columns[0])
	for i, column := range columns {
		if len(column) != size {
			return 0, fmt.Errorf("%w: column %d has %d bytes, column 0 has %d", ErrShape, i, len(column), size)
		}
	}
	return size, nil
}

// enough checks that at least k columns are there and that they have one length.
func (c *Code) enough(columns [][]byte) error {
	present, size := 0, 0
	for i, column := range columns {
		if len(column) == 0 {
			continue
		}
		if present == 0 {
			size = len(column)
		}
		if len(column) != size {
			return fmt.Errorf("%w: column %d has %d bytes, others have %d", ErrShape, i, len(column), size)
		}
		present++
	}
	if present < c.scheme.K {
		return fmt.Errorf("%w: %d of %s", ErrTooFew, present, c.scheme)
	}
	return nil
}
