// Package config reads the one YAML file of a service, strictly.
//
// Constraints:
//
//  1. A field that nobody knows is an error with its line, as is a second document.
//  2. All errors are reported at once.
//  3. Secrets are never in the file, only paths to them (SecretFile).
//  4. What differs between equal processes comes from the environment, by references in the file (Expand); no variable
//     means anything by itself.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes bounds a configuration file; nobody writes one by hand that is longer.
const maxFileBytes = 1 << 20

// Validator is a configuration that can judge itself: everything that is wrong, joined by errors.Join.
type Validator interface{ Validate() error }

// Load reads the file, with references to this process's environment replaced (Expand), over the values of c and
// validates the result.
func Load(path string, c any) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if len(data) > maxFileBytes {
		return fmt.Errorf("read configuration %s: longer than %d bytes", path, maxFileBytes)
	}
	data, err = Expand(data, os.LookupEnv)
	if err == nil {
		err = Parse(data, c)
	}
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	return nil
}

// Parse decodes data, as it is, over the values of c and validates the result, if c can (Validator). Empty data is fine.
func Parse(data []byte, c any) error {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("decode: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("decode: one document is expected, more follow")
	}
	return Validate(c)
}

// Validate validates c if it can.
func Validate(c any) error {
	v, ok := c.(Validator)
	if !ok {
		return nil
	}
	if err := v.Validate(); err != nil {
		return fmt.Errorf("invalid: %w", err)
	}
	return nil
}

// Print is c as YAML, as --print-config shows it.
func Print(w io.Writer, c any) error {
	encoder := yaml.NewEncoder(w)
	const indent = 2
	encoder.SetIndent(indent)
	if err := encoder.Encode(c); err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	return nil
}
