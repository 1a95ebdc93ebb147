package cli

import (
	"strconv"
	"strings"
	"unicode"
)

// printable keeps a key from playing with the reader's terminal: one with control characters is shown quoted.
func printable(key string) string {
	if strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(key)
	}
	return key
}
