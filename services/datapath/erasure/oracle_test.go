package erasure_test

import "github.com/drystone-store/drystone/services/datapath/erasure"

// The oracle: the same code written the slow way, from its definition. Field GF(2^8) modulo x^8+x^4+x^3+x^2+1; the
// generator matrix is the Vandermonde matrix V[r][c] = r^c of n rows times the inverse of its top k rows.

func gfMul(a, b byte) byte {
	var product byte
	for ; b != 0; b >>= 1 {
		if b&1 != 0 {
			product ^= a
		}
		carry := a&0x80 != 0
		a <<= 1
		if carry {
			a ^= 0x1d
		}
	}
	return product
}

func gfPow(a byte, exponent int) byte {
	product := byte(1)
	for range exponent {
		product = gfMul(product, a)
	}
	return product
}

func gfInverse(a byte) byte { return gfPow(a, 254) }

func identity(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = make([]byte, n)
		out[i][i] = 1
	}
	return out
}

func multiply(a, b [][]byte) [][]byte {
	out := make([][]byte, len(a))
	for r := range a {
		out[r] = make([]byte, len(b[0]))
		for c := range b[0] {
			for i := range b {
				out[r][c] ^= gfMul(a[r][i], b[i][c])
			}
		}
	}
	return out
}

// invert is Gauss–Jordan; the matrices here always have an inverse.
func invert(in [][]byte) [][]byte {
	n := len(in)
	work, out := make([][]byte, n), identity(n)
	for r := range in {
		work[r] = append([]byte(nil), in[r]...)
	}
	for c := range n {
		pivot := c
		for work[pivot][c] == 0 {
			pivot++
		}
		work[c], work[pivot] = work[pivot], work[c]
		out[c], out[pivot] = out[pivot], out[c]
		scale := gfInverse(work[c][c])
		for i := range n {
			work[c][i], out[c][i] = gfMul(work[c][i], scale), gfMul(out[c][i], scale)
		}
		for r := range n {
			if factor := work[r][c]; r != c && factor != 0 {
				for i := range n {
					work[r][i] ^= gfMul(factor, work[c][i])
					out[r][i] ^= gfMul(factor, out[c][i])
				}
			}
		}
	}
	return out
}

// generator has n rows of k coefficients: row c makes column c from the data columns.
func generator(s erasure.Scheme) [][]byte {
	vandermonde := make([][]byte, s.N())
	for r := range vandermonde {
		vandermonde[r] = make([]byte, s.K)
		for c := range vandermonde[r] {
			vandermonde[r][c] = gfPow(byte(r), c)
		}
	}
	return multiply(vandermonde, invert(vandermonde[:s.K]))
}

// oracleEncode makes the parity columns of data columns.
func oracleEncode(s erasure.Scheme, data [][]byte) [][]byte {
	return multiply(generator(s)[s.K:], data)
}

// oracleDecode makes all n columns from those of k chosen numbers.
func oracleDecode(s erasure.Scheme, columns [][]byte, chosen []int) [][]byte {
	g := generator(s)
	rows, survivors := make([][]byte, s.K), make([][]byte, s.K)
	for i, c := range chosen {
		rows[i], survivors[i] = g[c], columns[c]
	}
	return multiply(g, multiply(invert(rows), survivors))
}
