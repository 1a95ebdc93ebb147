package peers

import (
	"context"
	"fmt"
	"hash/crc32"
	"time"

	"google.golang.org/grpc/codes"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/kit/rpc"
)

// readTimeout bounds one read of at most a block: a disk that takes longer is as good as lost, and the reader decodes
// around it.
const readTimeout = 2 * time.Second

// Read returns len(dst) rows of a column, beginning at row: what was stored, then zeros. They lie in dst, which is used up
// to its capacity, but not always at its beginning. The rows, 1 to 1 MiB, must lie within one block. One attempt is made.
// What dst holds after an error is undefined.
// Errors: those of ChunkService.ReadChunk; CHUNK_CORRUPT also when bytes were damaged on their way; UNAVAILABLE,
// DEADLINE_EXCEEDED.
func (p *Peers) Read(
	ctx context.Context, member *placementv1.Member, ref *chunkv1.ChunkRef, row uint64, dst []byte,
) ([]byte, error) {
	client, local, err := p.client(member.GetNode())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	answer, err := client.ReadChunk(rpc.WithBuffer(ctx, dst),
		&chunkv1.ReadChunkRequest{Chunk: ref, Row: row, Rows: uint32(len(dst))})
	if err != nil {
		return nil, fmt.Errorf("reading %d rows at %d from node %q: %w", len(dst), row, member.GetNode(), err)
	}
	data := answer.GetData()
	if len(data) > len(dst) {
		return nil, corrupt("node %q answered %d bytes to a read of %d", member.GetNode(), len(data), len(dst))
	}
	at, inPlace := within(data, dst)
	// A chunk-server of this process that read straight into dst has checked the bytes there, after the disk; nothing
	// lies between.
	if !local || !inPlace {
		if err := verify(answer); err != nil {
			return nil, fmt.Errorf("reading %d rows at %d from node %q: %w", len(dst), row, member.GetNode(), err)
		}
	}
	rows := dst
	if inPlace && at+len(dst) <= cap(dst) {
		rows = dst[at : at+len(dst)]
	} else {
		copy(dst, data)
	}
	clear(rows[len(data):])
	return rows, nil
}

// within says whether data lies in the memory of dst, and where.
func within(data, dst []byte) (at int, ok bool) {
	if at = cap(dst) - cap(data); cap(data) == 0 || at < 0 {
		return 0, false
	}
	// Both end where their memory ends if it is the same.
	return at, &dst[:cap(dst)][at] == &data[:1][0]
}

// verify checks each piece of an answer: the first `head` bytes, then granules.
func verify(answer *chunkv1.ReadChunkResponse) error {
	table := crc32.MakeTable(crc32.Castagnoli)
	data, size := answer.GetData(), int(answer.GetHead())
	if size == 0 {
		size = int(answer.GetGranule())
	}
	for _, want := range answer.GetCrcs() {
		n := min(size, len(data))
		if n <= 0 || crc32.Checksum(data[:n], table) != want {
			return corrupt("bytes were damaged on their way")
		}
		data, size = data[n:], int(answer.GetGranule())
	}
	if len(data) > 0 {
		return corrupt("%d bytes came without a checksum", len(data))
	}
	return nil
}

func corrupt(format string, args ...any) error {
	return fault.New(codes.DataLoss, typesv1.Reason_REASON_CHUNK_CORRUPT, format, args...)
}
