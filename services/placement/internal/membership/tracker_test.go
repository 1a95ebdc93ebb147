package membership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/testing/protocmp"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const (
	suspectAfter = 3 * time.Second
	downAfter    = 5 * time.Second
	beatEvery    = time.Second
)

// memory is a register that forgets. Replicas of a test share one.
type memory struct {
	mu     sync.Mutex
	nodes  map[string]*placementv1.Node
	writes int
	err    error
}

func (m *memory) Node(name string) (*placementv1.Node, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.nodes[name]
	return n, ok
}

func (m *memory) Register() map[string]*placementv1.Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.nodes)
}

func (m *memory) ChangeRegister(
	_ context.Context, decide func(map[string]*placementv1.Node) ([]*placementv1.Node, error),
) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	changed, err := decide(m.nodes)
	if len(changed) > 0 {
		m.writes++
	}
	for _, n := range changed {
		m.nodes[n.GetPlace().GetNode()] = n
	}
	return err
}

func newTracker(t *testing.T, register *memory) *Tracker {
	t.Helper()
	if register.nodes == nil {
		register.nodes = map[string]*placementv1.Node{}
	}
	tracker, err := New(register, Options{
		Log: slog.New(slog.DiscardHandler), SuspectAfter: suspectAfter, DownAfter: downAfter,
	})
	if err != nil {
		t.Fatal(err)
	}
	return tracker
}

// run sweeps until the test ends.
func run(t *testing.T, tracker *Tracker) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { tracker.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// nodeOf makes a node with disks named after it: "a1" in zone a has a1-0, a1-1, ….
func nodeOf(name string, disks int) *placementv1.Node {
	n := &placementv1.Node{
		Place:   &typesv1.Place{Zone: name[:1], Rack: "r" + name, Node: name},
		Address: name + ":7000", Socket: "/run/" + name, BootId: "boot",
	}
	for i := range disks {
		n.Disks = append(n.Disks, &placementv1.Disk{
			Id: fmt.Sprintf("%s-%d", name, i), Path: fmt.Sprintf("/data/%d", i),
			State:         placementv1.DiskState_DISK_STATE_OK,
			CapacityBytes: 1000, FreeBytes: 900, Chunks: 3, SyncUs: 80,
		})
	}
	return n
}

func register(t *testing.T, tracker *Tracker, nodes ...*placementv1.Node) {
	t.Helper()
	for _, n := range nodes {
		if err := tracker.RegisterNode(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
}

func beat(t *testing.T, tracker *Tracker, nodes ...*placementv1.Node) {
	t.Helper()
	for _, n := range nodes {
		if err := tracker.Heartbeat(n.GetPlace().GetNode(), "run", n.GetDisks()); err != nil {
			t.Fatal(err)
		}
	}
}

// beatFor lets time pass while nodes beat.
func beatFor(t *testing.T, d time.Duration, tracker *Tracker, nodes ...*placementv1.Node) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		beat(t, tracker, nodes...)
		time.Sleep(beatEvery)
	}
	synctest.Wait()
}

// states writes each node as name:state, and after it the disks that are not ok, or barred.
func states(tracker *Tracker) string {
	nodes, _ := tracker.Nodes()
	var words []string
	for _, n := range nodes {
		parts := []string{n.GetPlace().GetNode() + ":" + lower(n.GetState().String(), "NODE_STATE_")}
		for _, d := range n.GetDisks() {
			if d.GetState() != placementv1.DiskState_DISK_STATE_OK {
				parts = append(parts, d.GetId()+"="+lower(d.GetState().String(), "DISK_STATE_"))
			}
			if d.GetBarred() {
				parts = append(parts, d.GetId()+" barred")
			}
		}
		words = append(words, strings.Join(parts, " "))
	}
	return strings.Join(words, ", ")
}

func lower(text, prefix string) string { return strings.ToLower(strings.TrimPrefix(text, prefix)) }

func wantStates(t *testing.T, tracker *Tracker, want string) {
	t.Helper()
	synctest.Wait()
	if got := states(tracker); got != want {
		t.Errorf("states: %s\nwant:   %s", got, want)
	}
}

func TestSilentNodeIsSuspectThenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &memory{})
		run(t, tracker)
		a, b := nodeOf("a1", 1), nodeOf("b1", 1)
		register(t, tracker, a, b)
		wantStates(t, tracker, "a1:up, b1:up")
		beatFor(t, 2*time.Second, tracker, a)
		wantStates(t, tracker, "a1:up, b1:up")
		beatFor(t, 2*time.Second, tracker, a)
		wantStates(t, tracker, "a1:up, b1:suspect")
		beatFor(t, 2*time.Second, tracker, a)
		wantStates(t, tracker, "a1:up, b1:down")
		beat(t, tracker, b)
		wantStates(t, tracker, "a1:up, b1:up")
	})
}

func TestNewReplicaCallsNobodyDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &memory{}
		a, b := nodeOf("a1", 1), nodeOf("b1", 1)
		register(t, newTracker(t, shared), a, b)
		time.Sleep(time.Hour)

		fresh := newTracker(t, shared)
		wantStates(t, fresh, "a1:suspect, b1:suspect") // also before the first sweep
		run(t, fresh)
		beatFor(t, 2*time.Second, fresh, a)
		wantStates(t, fresh, "a1:up, b1:suspect")
		if _, settled := fresh.Nodes(); settled {
			t.Error("settled while b1 was not heard of")
		}
		beatFor(t, 4*time.Second, fresh, a)
		wantStates(t, fresh, "a1:up, b1:down")
		if _, settled := fresh.Nodes(); !settled {
			t.Error("not settled although b1 is known to be down")
		}
	})
}

func TestNodeRegisteredElsewhereGetsItsGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &memory{}
		here, there := newTracker(t, shared), newTracker(t, shared)
		run(t, here)
		time.Sleep(time.Hour)
		a := nodeOf("a1", 1)
		register(t, there, a)
		time.Sleep(time.Second)
		wantStates(t, here, "a1:suspect")
		beat(t, here, a)
		wantStates(t, here, "a1:up")
	})
}

// TestReplicaThatStoodStillBlamesNobody stops the sweeps, as SIGSTOP does.
func TestReplicaThatStoodStillBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &memory{})
		a := nodeOf("a1", 1)
		register(t, tracker, a)
		tracker.sweep()
		time.Sleep(time.Minute)
		wantStates(t, tracker, "a1:up")
		tracker.sweep()
		wantStates(t, tracker, "a1:up")
		for range 30 { // but silence after that counts
			time.Sleep(sweepEvery)
			tracker.sweep()
		}
		wantStates(t, tracker, "a1:down")
	})
}

func TestHeartbeatShowsDisks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &memory{}
		tracker := newTracker(t, shared)
		run(t, tracker)
		a := nodeOf("a1", 5)
		register(t, tracker, a)
		a.Disks[0].State = placementv1.DiskState_DISK_STATE_FAILED
		a.Disks[0].Detail = "sync: EIO"
		a.Disks[1].State = placementv1.DiskState_DISK_STATE_FULL
		a.Disks[2].State = placementv1.DiskState_DISK_STATE_READ_ONLY
		a.Disks = a.GetDisks()[:4]
		beat(t, tracker, a)
		wantStates(t, tracker, "a1:up a1-0=failed a1-1=full a1-2=read_only a1-4=missing")

		// What lasts is written, so that a replica that hears nothing knows it.
		other := newTracker(t, shared)
		wantStates(t, other, "a1:suspect a1-0=failed a1-2=read_only a1-4=missing")
		if got := shared.nodes["a1"].GetDisks()[0].GetDetail(); got != "sync: EIO" {
			t.Errorf("detail in the register: %q", got)
		}
	})
}

func TestHeartbeatsWriteOnlyChangesOfState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &memory{}
		replicas := []*Tracker{newTracker(t, shared), newTracker(t, shared)}
		a := nodeOf("a1", 2)
		register(t, replicas[0], a)
		for _, r := range replicas {
			run(t, r)
		}
		both := func() {
			for _, r := range replicas {
				beat(t, r, a)
			}
			synctest.Wait()
		}
		before := shared.writes
		for i := range 10 {
			a.Disks[0].FreeBytes, a.Disks[0].Chunks = uint64(i), uint64(i)
			a.Disks[0].State = []placementv1.DiskState{
				placementv1.DiskState_DISK_STATE_OK, placementv1.DiskState_DISK_STATE_FULL,
			}[i%2]
			both()
		}
		if shared.writes != before {
			t.Errorf("figures and fullness were written %d times", shared.writes-before)
		}
		a.Disks[1].State = placementv1.DiskState_DISK_STATE_FAILED
		both()
		both()
		if got := shared.writes - before; got != 1 {
			t.Errorf("two replicas wrote one failure %d times", got)
		}
	})
}

func TestFailedWriteIsTriedAgainWithTheNextHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &memory{}
		tracker := newTracker(t, shared)
		run(t, tracker)
		a := nodeOf("a1", 1)
		register(t, tracker, a)
		shared.err = errors.New("etcd is away")
		a.Disks[0].State = placementv1.DiskState_DISK_STATE_FAILED
		beat(t, tracker, a)
		wantStates(t, tracker, "a1:up a1-0=failed")
		shared.mu.Lock()
		shared.err = nil
		shared.mu.Unlock()
		beat(t, tracker, a)
		synctest.Wait()
		if got := shared.nodes["a1"].GetDisks()[0].GetState(); got != placementv1.DiskState_DISK_STATE_FAILED {
			t.Errorf("the register says %v", got)
		}
	})
}

func TestHeartbeatOfWhatIsNotRegistered(t *testing.T) {
	tracker := newTracker(t, &memory{})
	a := nodeOf("a1", 1)
	err := tracker.Heartbeat("a1", "run", a.GetDisks())
	wantReason(t, err, typesv1.Reason_REASON_NO_SUCH_DISK)
	register(t, tracker, a)
	err = tracker.Heartbeat("a1", "run", nodeOf("a1", 2).GetDisks())
	wantReason(t, err, typesv1.Reason_REASON_NO_SUCH_DISK)
	a.Disks[0].State = placementv1.DiskState_DISK_STATE_UNSPECIFIED
	err = tracker.Heartbeat("a1", "run", a.GetDisks())
	wantReason(t, err, typesv1.Reason_REASON_INVALID_ARGUMENT)
}

func wantReason(t *testing.T, err error, want typesv1.Reason) {
	t.Helper()
	if got := fault.Reason(err); got != want {
		t.Errorf("error %v has reason %v, want %v", err, got, want)
	}
}

func TestNodesAreTheCallers(t *testing.T) {
	tracker := newTracker(t, &memory{})
	a := nodeOf("a1", 1)
	register(t, tracker, a)
	first, _ := tracker.Nodes()
	want, _ := tracker.Nodes()
	first[0].Disks[0].Id, first[0].Place.Zone = "x", "x"
	a.Disks[0].FreeBytes = 1 // the sender goes on with its message
	got, _ := tracker.Nodes()
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("what a caller did reached the tracker:\n%s", diff)
	}
	if want[0].GetDisks()[0].GetFreeBytes() != 900 {
		t.Errorf("figures are not shown: %v", want[0].GetDisks()[0])
	}
}

func TestChangedTellsOfStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &memory{})
		a := nodeOf("a1", 2)
		told := func() bool {
			select {
			case <-tracker.Changed():
				return true
			default:
				return false
			}
		}
		register(t, tracker, a)
		if !told() {
			t.Error("a new node was not told of")
		}
		a.Disks[0].FreeBytes = 5
		beat(t, tracker, a)
		if told() {
			t.Error("a figure was told of")
		}
		a.Disks[0].State = placementv1.DiskState_DISK_STATE_FULL
		beat(t, tracker, a)
		if !told() {
			t.Error("a disk's state was not told of")
		}
		a.Disks = a.GetDisks()[:1]
		beat(t, tracker, a)
		if !told() {
			t.Error("a missing disk was not told of")
		}
	})
}
