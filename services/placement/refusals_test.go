package placement_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/placement"
	"github.com/drystone-store/drystone/services/placement/internal/etcdtest"
)

func TestCheckScheme(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	r := start(t, placement.Config{}, etcd.Client(t, 0))
	r.register(t, nodes(3, 3, 3)...)
	check := func(s *typesv1.Scheme) (string, error) {
		answer, err := r.CheckScheme(t.Context(), &placementv1.CheckSchemeRequest{Scheme: s})
		return answer.GetSurvives(), err
	}
	for wanted, survives := range map[string]string{
		"rs-5-4": "one zone and one disk", "rs-4-2": "one zone", "rs-6-2": "two disks", "rs-2-1": "one zone",
	} {
		if got, err := check(scheme(t, wanted)); err != nil || got != survives {
			t.Errorf("%s survives %s, %v; want %s", wanted, got, err, survives)
		}
	}
	_, err := check(scheme(t, "rs-8-4"))
	wantReason(t, err, typesv1.Reason_REASON_SCHEME_DOES_NOT_FIT)
	if want := "rs-8-4 needs 12 distinct disks; 9 are registered"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not say %q", err, want)
	}
	_, err = check(&typesv1.Scheme{K: 40, M: 1})
	wantReason(t, err, typesv1.Reason_REASON_INVALID_SCHEME)
	_, err = check(nil)
	wantReason(t, err, typesv1.Reason_REASON_INVALID_SCHEME)
}

func TestRefusals(t *testing.T) {
	etcd := etcdtest.Start(t, 1)
	r := start(t, placement.Config{}, etcd.Client(t, 0))
	all := nodes(3, 3, 3)
	r.register(t, all...)
	term := r.term(t, "w")
	open := func(change func(*placementv1.OpenVolumeRequest)) func() error {
		return func() error {
			req := &placementv1.OpenVolumeRequest{
				Writer: "w", Term: term, VolumeClass: typesv1.VolumeClass_VOLUME_CLASS_PACKED, Scheme: scheme(t, "rs-5-4"),
			}
			change(req)
			_, err := r.OpenVolume(t.Context(), req)
			return err
		}
	}
	for name, c := range map[string]struct {
		call func() error
		want typesv1.Reason
	}{
		"no scheme": {open(func(q *placementv1.OpenVolumeRequest) { q.Scheme = nil }), typesv1.Reason_REASON_INVALID_SCHEME},
		"no class":  {open(func(q *placementv1.OpenVolumeRequest) { q.VolumeClass = 0 }), typesv1.Reason_REASON_INVALID_ARGUMENT},
		"a class of tomorrow": {
			open(func(q *placementv1.OpenVolumeRequest) { q.VolumeClass = 9 }), typesv1.Reason_REASON_INVALID_ARGUMENT,
		},
		"no writer":      {open(func(q *placementv1.OpenVolumeRequest) { q.Writer = "" }), typesv1.Reason_REASON_INVALID_ARGUMENT},
		"another writer": {open(func(q *placementv1.OpenVolumeRequest) { q.Writer = "x" }), typesv1.Reason_REASON_TERM_EXPIRED},
		"another term":   {open(func(q *placementv1.OpenVolumeRequest) { q.Term = 99 }), typesv1.Reason_REASON_TERM_EXPIRED},
		"more disks than there are": {
			open(func(q *placementv1.OpenVolumeRequest) { q.Scheme = scheme(t, "rs-8-4") }),
			typesv1.Reason_REASON_NOT_ENOUGH_DISKS,
		},
		"too many exclusions": {
			open(func(q *placementv1.OpenVolumeRequest) { q.ExcludeDisks = make([]string, 1001) }),
			typesv1.Reason_REASON_INVALID_ARGUMENT,
		},
		"a term without a writer": {func() error {
			_, err := r.StartTerm(t.Context(), &placementv1.StartTermRequest{})
			return err
		}, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"renewing nobody's term": {func() error {
			_, err := r.RenewTerm(t.Context(), &placementv1.RenewTermRequest{Writer: "w", Term: 99})
			return err
		}, typesv1.Reason_REASON_TERM_EXPIRED},
		"too many ids": {func() error {
			_, err := r.GetVolumes(t.Context(), &placementv1.GetVolumesRequest{Ids: make([]uint64, 1001)})
			return err
		}, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"too many reports": {func() error {
			_, err := r.ReportDisks(t.Context(), &placementv1.ReportDisksRequest{Reports: make([]*placementv1.DiskReport, 1001)})
			return err
		}, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"confirming nothing": {func() error {
			_, err := r.ConfirmVolume(t.Context(), &placementv1.ConfirmVolumeRequest{Volume: 9})
			return err
		}, typesv1.Reason_REASON_NO_SUCH_VOLUME},
		"sealing nothing": {func() error {
			_, err := r.SealVolume(t.Context(), &placementv1.SealVolumeRequest{Volume: 9})
			return err
		}, typesv1.Reason_REASON_NO_SUCH_VOLUME},
		"a node of another cluster": {func() error {
			_, err := r.members.RegisterNode(t.Context(), &placementv1.RegisterNodeRequest{ClusterId: "x", Node: all[0]})
			return err
		}, typesv1.Reason_REASON_CLUSTER_MISMATCH},
		"no node": {func() error {
			_, err := r.members.RegisterNode(t.Context(), &placementv1.RegisterNodeRequest{})
			return err
		}, typesv1.Reason_REASON_INVALID_ARGUMENT},
		"a heartbeat of nobody": {func() error {
			_, err := r.members.Heartbeat(t.Context(), &placementv1.HeartbeatRequest{Node: "x"})
			return err
		}, typesv1.Reason_REASON_NO_SUCH_DISK},
	} {
		t.Run(name, func(t *testing.T) { wantReason(t, c.call(), c.want) })
	}
	if n := r.volumes(t); n != 0 {
		t.Errorf("%d volumes came of it", n)
	}
}

func (r *replica) volumes(t *testing.T) int {
	t.Helper()
	stream, err := r.ListVolumes(t.Context(), &placementv1.ListVolumesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		n += len(part.GetVolumes())
	}
}
