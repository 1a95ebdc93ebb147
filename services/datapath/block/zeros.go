package block

import "encoding/binary"

// TrimZeros is the length of b without its trailing zeros. It looks from the end, 64 bytes at a time, so it costs
// nothing for a column that is full and little for one that is empty.
func TrimZeros(b []byte) int {
	const stride = 64
	n := len(b)
	for n >= stride {
		s := b[n-stride : n : n]
		word := binary.LittleEndian.Uint64(s) | binary.LittleEndian.Uint64(s[8:]) |
			binary.LittleEndian.Uint64(s[16:]) | binary.LittleEndian.Uint64(s[24:]) |
			binary.LittleEndian.Uint64(s[32:]) | binary.LittleEndian.Uint64(s[40:]) |
			binary.LittleEndian.Uint64(s[48:]) | binary.LittleEndian.Uint64(s[56:])
		if word != 0 {
			break
		}
		n -= stride
	}
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return n
}
