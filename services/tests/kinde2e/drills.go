package kinde2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// drill does something to the cluster and returns when that is over and everything is well again.
type drill struct {
	name string
	run  func(ctx context.Context, c *cluster) error
}

// away is how long a zone is gone.
const away = time.Minute

// drills are in an order in which each begins from a whole mesh.
func drills(c *cluster) []drill {
	list := []drill{{"nothing", func(ctx context.Context, _ *cluster) error { pause(ctx, 20*time.Second); return nil }}}
	for _, component := range []string{"frontdoor", "metadata", "placement", "chunkserver", "repair", "etcd"} {
		list = append(list, drill{"delete a pod of " + component, func(ctx context.Context, c *cluster) error {
			return deletePod(ctx, c, component)
		}})
	}
	list = append(list,
		drill{"kill a chunk-server and etcd without a word", killHard},
		drill{"drain a worker, be refused a second, uncordon", drainWorker},
		drill{"stop a worker's container for a minute", stopZone},
		drill{"upgrade with a changed value", func(ctx context.Context, c *cluster) error {
			return c.upgrade(ctx, c.Tag, "logLevel=warn")
		}},
		drill{"restart everything at once", restartAll},
	)
	if c.NextTag != "" {
		list = append(list,
			drill{"upgrade to the next version", func(ctx context.Context, c *cluster) error { return c.upgrade(ctx, c.NextTag) }},
			drill{"roll back", func(ctx context.Context, c *cluster) error {
				return c.helm(ctx, "rollback", release, "--wait", "--timeout", "8m")
			}},
		)
	}
	return append(list,
		drill{"three more chunk-servers", func(ctx context.Context, c *cluster) error {
			return c.upgrade(ctx, c.Tag, "chunkserver.replicas=12")
		}},
		drill{"lose a chunk-server's disk", func(ctx context.Context, c *cluster) error { return loseDisk(ctx, c, "chunkserver", "disk0") }},
		drill{"lose an etcd member's disk", func(ctx context.Context, c *cluster) error { return loseDisk(ctx, c, "etcd", "data") }},
	)
}

func deletePod(ctx context.Context, c *cluster, component string) error {
	names, err := c.pods(ctx, component)
	if err != nil || len(names) == 0 {
		return errors.Join(err, errNone(component))
	}
	if _, err := c.kubectl(ctx, "delete", "pod", names[0], "--wait=true"); err != nil {
		return err
	}
	return c.settle(ctx)
}

func errNone(component string) error { return fmt.Errorf("there is no pod of %s", component) }

// killHard ends pods with SIGKILL: no grace, no draining.
func killHard(ctx context.Context, c *cluster) error {
	for _, name := range []string{release + "-chunkserver-1", release + "-etcd-1"} {
		if _, err := c.kubectl(ctx, "delete", "pod", name, "--force", "--grace-period=0"); err != nil {
			return err
		}
	}
	return c.settle(ctx)
}

// drainWorker empties a worker, which is a zone. A second one must not be emptied meanwhile: some volumes could not be
// read any more.
func drainWorker(ctx context.Context, c *cluster) (err error) {
	workers, err := c.workers(ctx)
	if err != nil || len(workers) < 2 {
		return errors.Join(err, fmt.Errorf("want two workers, there are %v", workers))
	}
	drain := func(node, patience string) error {
		_, err := run(ctx, "kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout="+patience)
		return err
	}
	defer func() {
		for _, node := range workers[:2] {
			_, undo := run(context.WithoutCancel(ctx), "kubectl", "uncordon", node)
			err = errors.Join(err, undo)
		}
		err = errors.Join(err, c.settle(ctx))
	}()
	if err := drain(workers[0], "3m"); err != nil {
		return err
	}
	pause(ctx, 20*time.Second) // a life without that zone
	refused := drain(workers[1], "20s")
	if refused == nil {
		return fmt.Errorf("%s was drained although %s was away: volumes cannot be read", workers[1], workers[0])
	}
	if !strings.Contains(refused.Error(), "disruption budget") {
		return fmt.Errorf("the second drain failed for another reason: %w", refused)
	}
	return nil
}

func stopZone(ctx context.Context, c *cluster) error {
	workers, err := c.workers(ctx)
	if err != nil || len(workers) == 0 {
		return errors.Join(err, errNone("chunkserver"))
	}
	node := workers[len(workers)-1]
	if err := c.stopNode(ctx, node); err != nil {
		return err
	}
	pause(ctx, away)
	if err := c.startNode(ctx, node); err != nil {
		return err
	}
	return c.settle(ctx)
}

func restartAll(ctx context.Context, c *cluster) error {
	if _, err := c.kubectl(ctx, "rollout", "restart", "deployment,statefulset", "-l", "app.kubernetes.io/instance="+release); err != nil {
		return err
	}
	return c.settle(ctx)
}

// loseDisk takes the last pod of a StatefulSet its disk: it comes back with an empty one.
func loseDisk(ctx context.Context, c *cluster, component, claim string) error {
	names, err := c.pods(ctx, component)
	if err != nil || len(names) == 0 {
		return errors.Join(err, errNone(component))
	}
	pod := names[len(names)-1]
	claim += "-" + pod
	lost, err := c.kubectl(ctx, "get", "pvc", claim, "-o", "jsonpath={.metadata.uid}")
	if err != nil {
		return err
	}
	if _, err := c.kubectl(ctx, "delete", "pvc", claim, "--wait=false"); err != nil {
		return err
	}
	if _, err := c.kubectl(ctx, "delete", "pod", pod, "--wait=true"); err != nil {
		return err
	}
	// A pod that settled on the old claim would prove nothing.
	for begin := time.Now(); ; pause(ctx, time.Second) {
		now, err := c.kubectl(ctx, "get", "pvc", claim, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
		if err != nil {
			return err
		}
		if now != "" && now != lost {
			break
		}
		if time.Since(begin) > time.Minute {
			return fmt.Errorf("claim %s was not made anew within a minute", claim)
		}
	}
	if err := c.shell(ctx, c.AfterLoss); err != nil {
		return err
	}
	return c.settle(ctx)
}

// reinstall takes the release away and brings it back: disks and Secrets stay, so everything is found again.
func reinstall(ctx context.Context, c *cluster) error {
	servers, err := c.pods(ctx, "chunkserver")
	if err != nil {
		return err
	}
	if err := c.helm(ctx, "uninstall", release, "--wait", "--timeout", "3m"); err != nil {
		return err
	}
	// Helm waits for what it deletes, not for the pods that go with it.
	if _, err := c.kubectl(ctx, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/instance="+release, "--timeout=2m"); err != nil {
		return err
	}
	return c.install(ctx, fmt.Sprintf("chunkserver.replicas=%d", len(servers)))
}
