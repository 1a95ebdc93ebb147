package rpc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
)

// unixScheme begins addresses of unix sockets, as in gRPC's targets.
const unixScheme = "unix:"

// Listen listens on "host:port" or "unix:/path", the addresses that Dial takes. A socket file that a killed process
// left behind is replaced; any other file in its place is an error.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	network := "tcp"
	path, unix := strings.CutPrefix(address, unixScheme)
	if unix {
		network, address = "unix", path
		if err := removeSocket(path); err != nil {
			return nil, err
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("listen: %s is there and no socket", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}
