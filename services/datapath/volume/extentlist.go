package volume

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/datapath/record"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// listCapacity is what one record of a volume with k data columns holds of an extent list, in bytes: a stripe, less a
// header above it. The writer refuses longer lists before they come about, the reader takes all of any scheme's.
//
// It suffices for 5 TiB written alone, whose stripes merge (about 15,000 extents of at most 30 bytes in volumes of 1 GiB),
// under every scheme. Beside other uploads each stripe is an extent: then an object ends at about 40,000·k² MiB.
func listCapacity(k int) int { return k * (block.Size - record.MaxHeader) }

// listSize is the bytes that extents take in a list.
func listSize(extents []*typesv1.Extent) int {
	return proto.Size(&typesv1.ExtentList{Extents: extents})
}

// ReadExtentList reads the list that an EXTENTS record's payload holds, by the payload's extent. Errors: those of Read;
// TOO_MUCH_LOST if the payload is no list, which its checksums make as good as impossible.
func (r *Reader) ReadExtentList(ctx context.Context, at *typesv1.Extent) ([]*typesv1.Extent, error) {
	if at.GetLength() > uint64(listCapacity(erasure.MaxK)) {
		return nil, fault.Bug("an extent list of %d bytes at %v", at.GetLength(), at)
	}
	payload := make([]byte, 0, at.GetLength())
	err := r.Read(ctx, []*typesv1.Extent{at}, 0, int64(at.GetLength()), func(b []byte) error {
		payload = append(payload, b...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading an extent list: %w", err)
	}
	list := &typesv1.ExtentList{}
	if err := proto.Unmarshal(payload, list); err != nil {
		return nil, fault.Wrap(err, codes.DataLoss, typesv1.Reason_REASON_TOO_MUCH_LOST,
			"volume %#x: the payload at %d is no extent list", at.GetVolume(), at.GetOffset())
	}
	return list.GetExtents(), nil
}

// list takes in what a flight made durable. Errors: OBJECT_TOO_LARGE when the list no longer fits into a record.
func (s *Stream) list(f *flight) error {
	last := max(len(s.placed.Extents)-1, 0) // it may grow, those before it do not change
	before := listSize(s.placed.Extents[last:])
	s.placed.add(f)
	s.listed += listSize(s.placed.Extents[last:]) - before
	if s.listed > s.listMost {
		return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_OBJECT_TOO_LARGE,
			"after %d bytes the object lies in %d places, more than can be listed under %s",
			s.offset, len(s.placed.Extents), s.lane.key.scheme)
	}
	return nil
}

// packExtents makes a list of extents a record and replaces it by its address.
func (s *Stream) packExtents(placed Placed) (Placed, error) {
	payload, err := proto.Marshal(&typesv1.ExtentList{Extents: placed.Extents})
	if err != nil {
		return Placed{}, fmt.Errorf("encoding a list of %d extents: %w", len(placed.Extents), err)
	}
	h, _ := proto.Clone(s.header).(*typesv1.RecordHeader)
	h.Kind, h.Fragment = typesv1.RecordKind_RECORD_KIND_EXTENTS, s.number()
	list, err := s.w.Pack(s.ctx, s.lane.key.scheme, h, payload)
	if fault.Is(err, typesv1.Reason_REASON_OBJECT_TOO_LARGE) {
		// It fits under the wanted scheme, so this is a fallback's stripe: that passes.
		return Placed{}, fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE,
			"a list of %d extents does not fit into the stripes that the healthy disks carry", len(placed.Extents),
		).WithRetryAfter(openRetryAfter)
	}
	if err != nil {
		return Placed{}, fmt.Errorf("writing a list of %d extents: %w", len(placed.Extents), err)
	}
	placed.Extents, placed.ExtentList = nil, list.Extents[0]
	placed.terms(list.OldestTerm)
	return placed, nil
}
