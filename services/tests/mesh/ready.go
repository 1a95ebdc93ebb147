package mesh

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// probeTimeout bounds one question to a process that may hang.
const probeTimeout = 2 * time.Second

// accepts waits until a process accepts connections; it fails at once when the process has ended.
func (m *Mesh) accepts(ctx context.Context, proc Process) error {
	return poll(ctx, func() error {
		pid, err := m.pid(proc)
		switch {
		case err != nil:
			return finalError{err}
		case pid == 0:
			return finalError{fmt.Errorf("%s does not run (any more); see %s", proc.Name, m.LogPath(proc.Name))}
		}
		conn, err := (&net.Dialer{Timeout: probeTimeout}).DialContext(ctx, "tcp", proc.Addr)
		if err != nil {
			return fmt.Errorf("%s does not accept connections yet: %w", proc.Name, err)
		}
		return conn.Close()
	})
}

// WaitReady returns when every process runs, every front-door says that it is ready, and a write would succeed with
// all chunk-servers.
func (m *Mesh) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	for _, proc := range m.plan.Processes {
		if err := m.accepts(ctx, proc); err != nil {
			return err
		}
	}
	for _, proc := range m.plan.of("frontdoor") {
		if err := poll(ctx, func() error { return m.frontDoorReady(ctx, proc) }); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mesh) frontDoorReady(ctx context.Context, proc Process) error {
	if _, err := m.ask(ctx, proc, "/readyz"); err != nil {
		return err
	}
	raw, err := m.ask(ctx, proc, "/v1/cluster")
	if err != nil {
		return err
	}
	var cluster struct {
		WriteScheme string
		Zones       []struct{ Nodes []struct{ State string } }
	}
	if err := json.Unmarshal(raw, &cluster); err != nil {
		return fmt.Errorf("%s: read /v1/cluster: %w", proc.Name, err)
	}
	up := 0
	for _, z := range cluster.Zones {
		for _, n := range z.Nodes {
			if n.State == "up" {
				up++
			}
		}
	}
	if want := len(m.plan.of("chunkserver")); up < want || cluster.WriteScheme == "" {
		return fmt.Errorf("%s sees %d of %d chunk-servers up, and writes under %q", proc.Name, up, want, cluster.WriteScheme)
	}
	return nil
}

// ask reads a path of a front-door's REST address with the root token.
func (m *Mesh) ask(ctx context.Context, proc Process, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+proc.Addr+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+m.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", proc.Name, err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", proc.Name, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask %s for %s: %s: %s", proc.Name, path, resp.Status, raw)
	}
	return raw, nil
}
