package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

const endpointFile = "run/endpoint.json"

// Endpoint says where the process that serves this folder listens. Addresses are `host:port`.
type Endpoint struct {
	REST    string `json:"rest"`
	GRPC    string `json:"grpc"`
	Metrics string `json:"metrics,omitempty"`
	PID     int    `json:"pid"`
}

// ErrNoEndpoint means that nothing serves this folder, as far as it says.
var ErrNoEndpoint = errors.New("no endpoint")

// WriteEndpoint publishes where this process listens.
func (d Dir) WriteEndpoint(e Endpoint) error {
	raw, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	return d.WriteFile(endpointFile, append(raw, '\n'), 0o600)
}

// Endpoint reads where the serving process listens; ErrNoEndpoint when none does.
func (d Dir) Endpoint() (Endpoint, error) {
	var e Endpoint
	raw, err := os.ReadFile(d.Path(endpointFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return e, ErrNoEndpoint
	case err != nil:
		return e, fmt.Errorf("read where `drystone up` listens: %w", err)
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, fmt.Errorf("read %s: %w", d.Path(endpointFile), err)
	}
	// A process that was killed leaves its addresses behind. Whoever listens there now must not get the root token.
	if e.PID > 0 && errors.Is(unix.Kill(e.PID, 0), unix.ESRCH) {
		return Endpoint{}, ErrNoEndpoint
	}
	return e, nil
}

// RemoveEndpoint withdraws the addresses, on a clean stop.
func (d Dir) RemoveEndpoint() error {
	err := os.Remove(d.Path(endpointFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("withdraw the addresses: %w", err)
	}
	return nil
}
