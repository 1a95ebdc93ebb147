package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// othersMay are the permission bits that a secret's file must not have.
const othersMay = 0o007

// SecretFile is the path of a file with a secret.
type SecretFile string

// Read returns the file's content without surrounding white space. Errors: no path, not readable, empty, readable by
// everybody on the machine.
func (f SecretFile) Read() ([]byte, error) {
	if f == "" {
		return nil, errors.New("read secret: no file is configured")
	}
	info, err := os.Stat(string(f))
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	if info.Mode().Perm()&othersMay != 0 {
		return nil, fmt.Errorf("read secret: %s has mode %04o: others must have no rights", f, info.Mode().Perm())
	}
	b, err := os.ReadFile(string(f))
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	if b = bytes.TrimSpace(b); len(b) == 0 {
		return nil, fmt.Errorf("read secret: %s is empty", f)
	}
	return b, nil
}
