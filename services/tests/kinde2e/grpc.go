package kinde2e

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// checkGRPC looks at every service the way people do: grpcurl through a port-forward.
func (c *cluster) checkGRPC(ctx context.Context, say func(string, ...any)) error {
	token, err := c.token(ctx)
	if err != nil {
		return err
	}
	for _, s := range []struct{ component, port, want string }{
		{"frontdoor", "9090", "drystone.api.v1.ObjectService"},
		{"metadata", "7000", "drystone.metadata.v1.MetadataService"},
		{"placement", "7000", "drystone.placement.v1.PlacementService"},
		{"chunkserver", "7000", "drystone.chunk.v1.ChunkService"},
		{"repair", "7000", "drystone.repair.v1.RepairService"},
	} {
		names, err := c.pods(ctx, s.component)
		if err != nil || len(names) == 0 {
			return fmt.Errorf("%w (%w)", errNone(s.component), err)
		}
		err = c.forward(ctx, names[0], s.port, func(address string) error {
			header := "Authorization: Bearer " + token
			services, err := run(ctx, ".bin/grpcurl", "-plaintext", "-H", header, address, "list")
			if err != nil || !strings.Contains(services, s.want) {
				return fmt.Errorf("grpcurl list: %s %w", services, err)
			}
			if s.component != "frontdoor" {
				_, err = run(ctx, ".bin/grpcurl", "-plaintext", address, "grpc.health.v1.Health/Check")
				return err
			}
			answer, err := run(ctx, ".bin/grpcurl", "-plaintext", "-H", header, address, "drystone.api.v1.ClusterService/GetCluster")
			if err == nil {
				say("grpcurl GetCluster: %d nodes up in %d zones", strings.Count(answer, `"state": "up"`), strings.Count(answer, `"nodes":`))
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.component, err)
		}
	}
	say("grpcurl listed and called all five services")
	return nil
}

// forward calls f with a local address that leads to a port of a pod.
func (c *cluster) forward(ctx context.Context, pod, port string, f func(address string) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kubectl", "--namespace", c.Namespace, "port-forward", "pod/"+pod, ":"+port)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	// "Forwarding from 127.0.0.1:40123 -> 7000"
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 2 && words[0] == "Forwarding" {
			return f(words[2])
		}
	}
	return fmt.Errorf("kubectl port-forward to %s ended", pod)
}
