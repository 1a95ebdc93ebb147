package chunkserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/drystone-store/drystone/services/kit/kube"
)

const (
	// The API is asked again after these pauses: it may be away for the time of an upgrade.
	placePause    = time.Second
	placePauseMax = 30 * time.Second
)

// Place is a node's failure domains beside itself, widest first.
type Place struct {
	Zone string `yaml:"zone"`
	Rack string `yaml:"rack"`
	// Node is the Kubernetes Node that this process runs on; empty: nobody is asked, and Zone is needed. Otherwise that
	// Node's labels say where it stands: ZoneLabel (empty: topology.kubernetes.io/zone) its zone, RackLabel (empty: none)
	// its rack. Zone and Rack are for a Node without them; without a rack of any kind, the Node is the rack. The pod's
	// service account must be allowed to get nodes.
	Node      string `yaml:"node"`
	ZoneLabel string `yaml:"zone_label"`
	RackLabel string `yaml:"rack_label"`
}

func (p Place) validate() []error {
	var errs []error
	if p.Zone == "" && p.Node == "" {
		errs = append(errs, errors.New("place.zone: it is needed, or place.node"))
	}
	if p.Node == "" && (p.ZoneLabel != "" || p.RackLabel != "") {
		errs = append(errs, errors.New("place.zone_label, place.rack_label: need place.node"))
	}
	return errs
}

// by is the place by the labels of its Node. Errors: no zone.
func (p Place) by(labels map[string]string) (zone, rack string, err error) {
	label := cmp.Or(p.ZoneLabel, kube.LabelZone)
	zone = cmp.Or(labels[label], p.Zone)
	if zone == "" {
		return "", "", fmt.Errorf("node %s has no label %s, and place.zone is empty", p.Node, label)
	}
	if p.RackLabel != "" {
		rack = labels[p.RackLabel]
	}
	return zone, cmp.Or(rack, p.Rack, p.Node), nil
}

// kubeNodes knows the Nodes of the cluster that this process runs in.
type kubeNodes interface {
	Node(ctx context.Context, name string) (kube.Node, error)
}

// place finds out where this process runs. It asks until it knows, or until ctx ends; ok is false then.
func (s *Service) place(ctx context.Context) (zone, rack string, ok bool) {
	p := s.config.Place
	if p.Node == "" {
		return p.Zone, p.Rack, true
	}
	for pause := placePause; ; pause = min(2*pause, placePauseMax) {
		node, err := s.kube.Node(ctx, p.Node)
		if err == nil {
			zone, rack, err = p.by(node.Labels)
		}
		if err == nil {
			s.log.InfoContext(ctx, "this node's place is known", slog.String("zone", zone), slog.String("rack", rack))
			return zone, rack, true
		}
		if errors.Is(err, kube.ErrForbidden) {
			err = fmt.Errorf("the pod's service account needs a ClusterRole with the verb get on nodes: %w", err)
		}
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "this node's place is not known yet", slog.Any("error", err), slog.Duration("again_in", pause))
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return "", "", false
		case <-timer.C:
		}
	}
}
