package datadir

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

const (
	tokenFile = "token"
	// Makes a token that leaked easy to find, for secret scanners and people.
	tokenPrefix = "drystone_"
	tokenBytes  = 32
)

// ErrNoToken means that the folder has no token: nothing was ever started on it.
var ErrNoToken = errors.New("no token")

// EnsureToken reads the root token or, on the first start, makes one.
func (d Dir) EnsureToken() (string, error) {
	token, err := d.Token()
	if !errors.Is(err, ErrNoToken) {
		return token, err
	}
	token = NewToken()
	return token, d.WriteFile(tokenFile, []byte(token+"\n"), 0o600)
}

// NewToken makes a token of 256 random bits.
func NewToken() string {
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw) // It never fails: crypto/rand ends the process instead.
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
}

// Token reads the root token; ErrNoToken when there is none.
func (d Dir) Token() (string, error) {
	raw, err := os.ReadFile(d.Path(tokenFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", ErrNoToken
	case err != nil:
		return "", fmt.Errorf("read the root token: %w", err)
	}
	token := strings.TrimSpace(string(raw))
	if token == "" {
		return "", fmt.Errorf("%s is empty: write the root token into it, or remove it and start again for a new one",
			d.Path(tokenFile))
	}
	return token, nil
}

// TokenPath is where the root token lies.
func (d Dir) TokenPath() string { return d.Path(tokenFile) }
