package peers

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/internal/memcluster"
	"github.com/drystone-store/drystone/services/datapath/nodes"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// bench is Peers over one chunk-server, with one chunk.
type bench struct {
	t       *testing.T
	node    *memcluster.Node
	peers   *Peers
	chunk   *chunkv1.ChunkRef
	stop    func()
	row     uint64
	mu      sync.Mutex
	outcome []error // by frame, in the order of answers
	open    int     // frames not released
}

func newBench(t *testing.T) *bench {
	t.Helper()
	c := memcluster.New(memcluster.Options{Zones: 1, NodesPerZone: 1})
	client, err := nodes.DialPlacement(c.Dialer, []string{memcluster.PlacementTarget})
	if err != nil {
		t.Fatal(err)
	}
	topology := nodes.NewTopology(client.Client(), slog.New(slog.DiscardHandler))
	p, err := New(Options{Topology: topology, Dialer: c.Dialer, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = topology.Run(ctx) })
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	b := &bench{t: t, node: c.Nodes[0], peers: p, stop: func() { cancel(); running.Wait() }}
	if err := topology.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.chunk = b.create(1)
	return b
}

func (b *bench) create(volume uint64) *chunkv1.ChunkRef {
	b.t.Helper()
	ref := &chunkv1.ChunkRef{Volume: volume, Generation: 1, Disk: b.node.Disk}
	if err := b.peers.Create(b.t.Context(), b.node.Name, &chunkv1.CreateChunkRequest{
		Chunk: ref, ClusterId: memcluster.ClusterID, Writer: "w", Term: 1, K: 1, M: 1, Capacity: block.Size,
	}); err != nil {
		b.t.Fatal(err)
	}
	return ref
}

// append sends a frame of n bytes.
func (b *bench) append(n int) {
	data := bytes.Repeat([]byte{7}, n)
	request := &chunkv1.AppendRequest{
		Chunk: b.chunk, Row: b.row, Rows: uint32(n), GranuleLog2: 16, Crcs: block.Checksums(data, 16), Data: data,
	}
	b.row += uint64(n)
	b.mu.Lock()
	b.open++
	b.mu.Unlock()
	answered := false
	b.peers.Append(b.node.Name, Frame{
		Request: request,
		Answered: func(err error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if answered {
				b.t.Error("a frame was answered twice")
			}
			answered = true
			b.outcome = append(b.outcome, err)
		},
		Released: func(reusable bool) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if !answered {
				b.t.Error("a frame was released before it was answered")
			}
			b.open--
			if !reusable {
				b.t.Error("a node in this process keeps a frame for good")
			}
			clear(data) // whoever still reads it sees that it is gone
		},
	})
}

// settled is the outcomes so far, and how many frames are not released.
func (b *bench) settled() ([]error, int) {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]error(nil), b.outcome...), b.open
}

func TestAppendIsPipelined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		const delay, frames = 10 * time.Millisecond, 2 * wireFrames
		b.node.Set(func(f *memcluster.Faults) { f.Delay = delay })
		begin := time.Now()
		for range frames {
			b.append(100)
		}
		for {
			if got, _ := b.settled(); len(got) == frames {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(begin); took > 3*delay {
			t.Errorf("%d frames, a window of %d, took %v", frames, wireFrames, took)
		}
		got, open := b.settled()
		for _, err := range got {
			if err != nil {
				t.Errorf("an append failed: %v", err)
			}
		}
		if open != 0 {
			t.Errorf("%d frames are not released", open)
		}
		c, _ := b.node.Chunk(memcluster.Key{Volume: 1, Generation: 1})
		if c.End != b.row {
			t.Errorf("the chunk ends at %d, want %d", c.End, b.row)
		}
	})
}

func TestBrokenStreams(t *testing.T) {
	cases := []struct {
		name  string
		fault func(*memcluster.Node)
		// within bounds the time to the answers.
		least, within time.Duration
	}{
		{"node dies", func(n *memcluster.Node) { n.Kill() }, 0, time.Millisecond},
		{"node dies within a frame", func(n *memcluster.Node) {
			n.Set(func(f *memcluster.Faults) { f.Torn = true })
		}, 0, 20 * time.Millisecond},
		{"node is silent", func(n *memcluster.Node) {
			n.Set(func(f *memcluster.Faults) { f.Silent = true })
		}, time.Second, 1500 * time.Millisecond},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				defer b.stop()
				b.append(10)
				if got, _ := b.settled(); len(got) != 1 || got[0] != nil {
					t.Fatalf("a frame before: %v", got)
				}
				b.node.Set(func(f *memcluster.Faults) { f.Delay = 10 * time.Millisecond })
				begin := time.Now()
				for range 3 {
					b.append(10)
				}
				synctest.Wait()
				tc.fault(b.node)
				for {
					if got, open := b.settled(); len(got) == 4 && open == 0 {
						break
					}
					time.Sleep(time.Millisecond)
				}
				if took := time.Since(begin); took < tc.least || took > tc.within {
					t.Errorf("frames failed after %v, want %v to %v", took, tc.least, tc.within)
				}
				got, _ := b.settled()
				for _, err := range got[1:] {
					if fault.Code(err) != codes.Unavailable {
						t.Errorf("a frame of a broken stream: %v", err)
					}
				}
				// A new stream serves again, from where the chunk ended.
				b.node.Set(func(f *memcluster.Faults) { *f = memcluster.Faults{} })
				b.chunk, b.row = b.create(2), 0
				time.Sleep(3 * time.Second) // a breaker may have opened
				b.append(10)
				if got, _ := b.settled(); len(got) != 5 || got[4] != nil {
					t.Errorf("a frame after: %v", got[4])
				}
			})
		})
	}
}

// TestSlowIsNotSilent: a node that answers one frame after the other is not given up, however many wait.
func TestSlowIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		n := 0
		b.node.Set(func(f *memcluster.Faults) {
			f.Stall = func(*chunkv1.AppendRequest) time.Duration {
				n++
				return time.Duration(n) * 900 * time.Millisecond
			}
		})
		for range 10 {
			b.append(10)
		}
		time.Sleep(10 * time.Second)
		got, _ := b.settled()
		for _, err := range got {
			if err != nil {
				t.Errorf("a frame of a slow node: %v", err)
			}
		}
		if len(got) != 10 {
			t.Errorf("%d answers", len(got))
		}
		// Idleness is not silence either.
		time.Sleep(time.Hour)
		n = 0
		b.append(10)
		time.Sleep(time.Second)
		if got, _ := b.settled(); len(got) != 11 || got[10] != nil {
			t.Errorf("after an idle hour: %v", got[10])
		}
	})
}

func TestRefusedFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		if _, err := b.peers.Fence(t.Context(), b.node.Name, b.chunk); err != nil {
			t.Fatal(err)
		}
		b.append(10)
		if got, _ := b.settled(); len(got) != 1 || !fault.Is(got[0], typesv1.Reason_REASON_CHUNK_FENCED) {
			t.Errorf("a frame to a fenced chunk: %v", got)
		}
	})
}

// TestRefusedStream: a node's reason for refusing a stream reaches the frames, and shedding load is no outage.
func TestRefusedStream(t *testing.T) {
	cases := []struct {
		name   string
		refuse error
		code   codes.Code
		reason typesv1.Reason
	}{
		{
			"sheds load", fault.New(codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED, "scripted"),
			codes.ResourceExhausted, typesv1.Reason_REASON_OVERLOADED,
		},
		{
			"shuts down", fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "scripted"),
			codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN,
		},
		{"has a bug", fault.Bug("scripted"), codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				defer b.stop()
				b.node.Set(func(f *memcluster.Faults) { f.Stream = func() error { return tc.refuse } })
				b.append(10)
				got, open := b.settled()
				if len(got) != 1 || open != 0 || fault.Code(got[0]) != tc.code || fault.Reason(got[0]) != tc.reason {
					t.Errorf("%v, %d frames are not released", got, open)
				}
			})
		})
	}
}

func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.node.Set(func(f *memcluster.Faults) { f.Delay = 100 * time.Millisecond })
		b.append(10)
		synctest.Wait()
		b.stop()
		b.append(10)
		got, open := b.settled()
		if len(got) != 2 || fault.Code(got[0]) != codes.Unavailable || !fault.Is(got[1], typesv1.Reason_REASON_SHUTTING_DOWN) {
			t.Errorf("frames at the end: %v", got)
		}
		if open != 0 {
			t.Errorf("%d frames are not released", open)
		}
	})
}

func TestUnknownNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.node = &memcluster.Node{Name: "nobody"}
		b.append(10)
		if got, _ := b.settled(); len(got) != 1 || fault.Code(got[0]) != codes.Unavailable {
			t.Errorf("a frame to an unknown node: %v", got)
		}
		if _, err := b.peers.Stat(t.Context(), "nobody", b.chunk, false); fault.Code(err) != codes.Unavailable {
			t.Errorf("a call to an unknown node: %v", err)
		}
	})
}

func TestCallsHaveDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.node.Set(func(f *memcluster.Faults) { f.Silent = true })
		ctx := t.Context()
		calls := map[string]func() error{
			"create": func() error {
				return b.peers.Create(ctx, b.node.Name, &chunkv1.CreateChunkRequest{Chunk: b.chunk})
			},
			"fence": func() error { _, err := b.peers.Fence(ctx, b.node.Name, b.chunk); return err },
			"seal":  func() error { return b.peers.Seal(ctx, b.node.Name, b.chunk, 0) },
			"stat":  func() error { _, err := b.peers.Stat(ctx, b.node.Name, b.chunk, true); return err },
			"read": func() error {
				_, err := b.peers.Read(ctx, &placementv1.Member{Node: b.node.Name}, b.chunk, 0, make([]byte, 1))
				return err
			},
		}
		for name, call := range calls {
			if err := call(); fault.Code(err) != codes.DeadlineExceeded {
				t.Errorf("%s of a silent node: %v", name, err)
			}
		}
	})
}

// mute takes frames and never answers; it ends the stream when told.
type mute struct {
	chunkv1.UnimplementedChunkServiceServer
	end chan struct{}
}

func (s *mute) Append(stream chunkv1.ChunkService_AppendServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if err := stream.Send(&chunkv1.AppendResponse{RequestId: first.GetRequestId()}); err != nil {
		return err
	}
	<-s.end
	return fault.New(codes.Unavailable, typesv1.Reason_REASON_SHUTTING_DOWN, "it stops")
}

// TestNetworkKeepsFramesOfABrokenStream: what was answered may be used again, the rest the network may still read.
func TestNetworkKeepsFramesOfABrokenStream(t *testing.T) {
	for _, transport := range []string{"tcp", "unix"} {
		server := rpc.NewServer(rpc.ServerOptions{})
		handler := &mute{end: make(chan struct{})}
		chunkv1.RegisterChunkServiceServer(server, handler)
		p := serve(t, nil, listen(t, transport, server), "boot")
		type outcome struct {
			err      error
			reusable bool
		}
		released := make(chan outcome, 2)
		send := func() {
			var answer error
			p.Append("n", Frame{
				Request:  &chunkv1.AppendRequest{Data: make([]byte, 64<<10)},
				Answered: func(err error) { answer = err },
				Released: func(reusable bool) { released <- outcome{answer, reusable} },
			})
		}
		send()
		if got := <-released; got.err != nil || !got.reusable {
			t.Errorf("%s: an answered frame: %v, reusable %v", transport, got.err, got.reusable)
		}
		send()
		close(handler.end)
		got := <-released
		if fault.Code(got.err) != codes.Unavailable || !fault.Is(got.err, typesv1.Reason_REASON_SHUTTING_DOWN) || got.reusable {
			t.Errorf("%s: a frame of a broken stream: %v, reusable %v", transport, got.err, got.reusable)
		}
	}
}

// lingering reads a frame for some time after its stream was given up.
type lingering struct {
	chunkv1.UnimplementedChunkServiceServer
	left atomic.Bool
}

func (s *lingering) Append(stream chunkv1.ChunkService_AppendServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	<-stream.Context().Done()
	time.Sleep(time.Minute)
	s.left.Store(true)
	return nil
}

// TestHandlersKeepTheirFrames: in one process a handler may read a frame for as long as it runs.
func TestHandlersKeepTheirFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := &lingering{}
		server := rpc.NewServer(rpc.ServerOptions{})
		chunkv1.RegisterChunkServiceServer(server, handler)
		registry := rpc.NewRegistry()
		registry.Register("n", server)
		p := serve(t, registry, &placementv1.Node{Address: "inproc:n"}, "")
		answered, released := make(chan error, 1), make(chan bool, 1)
		begin := time.Now()
		p.Append("n", Frame{
			Request:  &chunkv1.AppendRequest{Data: []byte("x")},
			Answered: func(err error) { answered <- err },
			Released: func(reusable bool) {
				if !handler.left.Load() {
					t.Error("a frame was released while its handler ran")
				}
				released <- reusable
			},
		})
		if err := <-answered; fault.Code(err) != codes.Unavailable || time.Since(begin) > 2*time.Second {
			t.Errorf("the answer %v came after %v", err, time.Since(begin))
		}
		if !<-released || time.Since(begin) < time.Minute {
			t.Errorf("released after %v", time.Since(begin))
		}
	})
}
