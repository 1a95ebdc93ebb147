package peers

import (
	"context"
	"fmt"
	"time"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
)

const (
	// callTimeout is the default deadline of a call.
	callTimeout = 2 * time.Second
	// createTimeout leaves a write that has to open a volume around a dead zone time for a second try within 5 s. A
	// create takes two syncs.
	createTimeout = 1500 * time.Millisecond
	// fenceTimeout bounds one try; sealing tries again.
	fenceTimeout = 2 * time.Second
	// sealTimeout is longer: the footer of a chunk of 1 GiB is written behind whatever the disk does.
	sealTimeout = 10 * time.Second

	// callsInFlight bounds calls to one node: more than a disk queue is deep, fewer than would make a node that stalls
	// hold every goroutine of this process.
	callsInFlight = 256
)

// Create makes an empty chunk, durably. Errors: those of ChunkService.CreateChunk; UNAVAILABLE, DEADLINE_EXCEEDED.
func (p *Peers) Create(ctx context.Context, node string, request *chunkv1.CreateChunkRequest) error {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	client, _, err := p.client(node)
	if err == nil {
		_, err = client.CreateChunk(ctx, request)
	}
	if err != nil {
		return fmt.Errorf("creating a chunk on node %q: %w", node, err)
	}
	return nil
}

// Fence ends the appends to a chunk for ever and answers its end, in rows. Errors: those of ChunkService.FenceChunk;
// UNAVAILABLE, DEADLINE_EXCEEDED.
func (p *Peers) Fence(ctx context.Context, node string, ref *chunkv1.ChunkRef) (*chunkv1.FenceChunkResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, fenceTimeout)
	defer cancel()
	client, _, err := p.client(node)
	if err != nil {
		return nil, err
	}
	answer, err := client.FenceChunk(ctx, &chunkv1.FenceChunkRequest{Chunk: ref})
	if err != nil {
		return nil, fmt.Errorf("fencing a chunk on node %q: %w", node, err)
	}
	return answer, nil
}

// Seal writes a chunk's footer at the length that the map decided, in rows. Errors: those of ChunkService.SealChunk;
// UNAVAILABLE, DEADLINE_EXCEEDED.
func (p *Peers) Seal(ctx context.Context, node string, ref *chunkv1.ChunkRef, length uint64) error {
	ctx, cancel := context.WithTimeout(ctx, sealTimeout)
	defer cancel()
	client, _, err := p.client(node)
	if err == nil {
		_, err = client.SealChunk(ctx, &chunkv1.SealChunkRequest{Chunk: ref, Length: length})
	}
	if err != nil {
		return fmt.Errorf("sealing a chunk on node %q: %w", node, err)
	}
	return nil
}

// Stat describes a chunk, on demand with its frames. Errors: those of ChunkService.StatChunk; UNAVAILABLE,
// DEADLINE_EXCEEDED.
func (p *Peers) Stat(ctx context.Context, node string, ref *chunkv1.ChunkRef, frames bool) (*chunkv1.StatChunkResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	client, _, err := p.client(node)
	if err != nil {
		return nil, err
	}
	answer, err := client.StatChunk(ctx, &chunkv1.StatChunkRequest{Chunk: ref, Frames: frames})
	if err != nil {
		return nil, fmt.Errorf("describing a chunk on node %q: %w", node, err)
	}
	return answer, nil
}
