// Package proof reads volumes back from chunk-servers alone: no names, no map, no etcd. It is what a rebuild will
// stand on.
package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	"github.com/drystone-store/drystone/services/datapath/record"
)

// column is one chunk and the server that has it.
type column struct {
	server chunkv1.ChunkServiceClient
	info   *chunkv1.ChunkInfo
}

// Volumes are the columns of each volume as chunk-servers list them.
type Volumes map[uint64]Columns

// Columns are the chunks of one volume by column.
type Columns map[uint32]column

// Collect lists the chunks of all servers.
func Collect(ctx context.Context, servers []chunkv1.ChunkServiceClient) (Volumes, error) {
	volumes := Volumes{}
	for _, server := range servers {
		stream, err := server.ListChunks(ctx, &chunkv1.ListChunksRequest{})
		if err != nil {
			return nil, fmt.Errorf("list chunks: %w", err)
		}
		for {
			page, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("list chunks: %w", err)
			}
			for _, info := range page.GetChunks() {
				ref := info.GetChunk()
				if volumes[ref.GetVolume()] == nil {
					volumes[ref.GetVolume()] = Columns{}
				}
				volumes[ref.GetVolume()][ref.GetColumn()] = column{server, info}
			}
		}
	}
	return volumes, nil
}

// Records yields every record of every volume, by explicit lengths from the beginnings of frames.
func (v Volumes) Records(ctx context.Context) iter.Seq2[record.Found, error] {
	return func(yield func(record.Found, error) bool) {
		for id, columns := range v {
			frames, err := columns.frames(ctx)
			if err != nil {
				yield(record.Found{}, fmt.Errorf("volume %d: %w", id, err))
				return
			}
			for _, f := range frames {
				if f.GetContinuation() {
					continue
				}
				frame := record.Frame{Volume: id, K: columns.k(), Row: f.GetRow(), Rows: int(f.GetRows())}
				for found, err := range record.Scan(frame, columns.reader(ctx)) {
					if !yield(found, err) {
						return
					}
				}
			}
		}
	}
}

// first is the lowest column that there is; every column has the same frames.
func (c Columns) first() column { return c[slices.Min(slices.Collect(maps.Keys(c)))] }

func (c Columns) k() int { return int(c.first().info.GetK()) }

// frames lists the frames of a volume.
func (c Columns) frames(ctx context.Context) ([]*chunkv1.FrameInfo, error) {
	first := c.first()
	resp, err := first.server.StatChunk(ctx, &chunkv1.StatChunkRequest{Chunk: first.info.GetChunk(), Frames: true})
	if err != nil {
		return nil, fmt.Errorf("list frames: %w", err)
	}
	return resp.GetFrames(), nil
}

// reader reads rows of a column; what is not sent is zeros.
func (c Columns) reader(ctx context.Context) record.ReadRows {
	return func(number int, row uint64, dst []byte) error {
		col, ok := c[uint32(number)]
		if !ok {
			return fmt.Errorf("column %d: nobody has it", number)
		}
		resp, err := col.server.ReadChunk(ctx, &chunkv1.ReadChunkRequest{Chunk: col.info.GetChunk(), Row: row, Rows: uint32(len(dst))})
		if err != nil {
			return fmt.Errorf("column %d: %w", number, err)
		}
		clear(dst[copy(dst, resp.GetData()):])
		return nil
	}
}
