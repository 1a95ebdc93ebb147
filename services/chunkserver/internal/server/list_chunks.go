package server

import (
	"slices"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/disk"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
)

// listPage is how many chunks one message describes: about 100 KiB.
const listPage = 1000

// ListChunks describes the chunks of one disk, or of all.
func (s *Service) ListChunks(req *chunkv1.ListChunksRequest, stream chunkv1.ChunkService_ListChunksServer) error {
	disks := s.disks.Disks()
	if req.GetDisk() != "" {
		d, err := s.disks.Disk(req.GetDisk())
		if err != nil {
			return err
		}
		disks = []*disk.Disk{d}
	}
	for _, d := range disks {
		for page := range slices.Chunk(d.List(), listPage) {
			if err := stream.Send(describeAll(d.ID(), page)); err != nil {
				return err
			}
		}
	}
	return nil
}

func describeAll(diskID string, records []format.ChunkRecord) *chunkv1.ListChunksResponse {
	out := &chunkv1.ListChunksResponse{Chunks: make([]*chunkv1.ChunkInfo, len(records))}
	for i := range records {
		out.Chunks[i] = describe(diskID, &records[i])
	}
	return out
}
