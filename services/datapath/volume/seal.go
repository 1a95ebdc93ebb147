package volume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// sealsAtOnce bounds volumes being sealed at a time: sealing is housework, and each asks every member twice.
	sealsAtOnce = 8
	// sealAttempts bounds the tries to seal one volume, about a minute in all. After that it stays as it is, fenced or
	// open, for repair, which waits longer.
	sealAttempts = 7
	// sealBackoff is the first wait between tries; it doubles.
	sealBackoff = 500 * time.Millisecond
)

// errProofs says that fewer than k members proved their length.
var errProofs = errors.New("too few members answered a fence")

// seal ends a volume in the background, once nothing is on its way to it.
func (w *Writer) seal(v *openVolume) {
	if !w.crew.start(func(ctx context.Context) { w.sealSoon(ctx, v) }) {
		w.metrics.seals.WithLabelValues("left").Inc()
	}
}

func (w *Writer) sealSoon(ctx context.Context, v *openVolume) {
	select {
	case <-v.drained:
	case <-ctx.Done(): // the fence settles what is on its way
	}
	select {
	case w.sealing <- struct{}{}:
		defer func() { <-w.sealing }()
	case <-ctx.Done():
	}
	backoff, stopping := sealBackoff, w.stopping
	for attempt := 1; ; attempt++ {
		err := w.sealNow(ctx, v)
		if err == nil {
			w.metrics.seals.WithLabelValues("sealed").Inc()
			return
		}
		if attempt == sealAttempts || ctx.Err() != nil {
			w.metrics.seals.WithLabelValues("left").Inc()
			w.log.WarnContext(ctx, "volume left for repair to seal",
				slog.Uint64("volume", v.entry.GetId()), slog.Any("error", err))
			return
		}
		timer := time.NewTimer(backoff)
		select {
		case <-timer.C:
			backoff *= 2
		case <-stopping: // no time to wait: try now, and a few times more
			backoff, stopping = sealBackoff, nil
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// sealNow fences all members, decides the length by their proofs, writes it into the map and tells the members.
func (w *Writer) sealNow(ctx context.Context, v *openVolume) error {
	proofs := w.fence(ctx, v)
	length, err := sealedLength(proofs, v.scheme.K, v.settled())
	if err != nil {
		return fmt.Errorf("sealing volume %#x: %w", v.entry.GetId(), err)
	}
	answer, err := w.placement.SealVolume(ctx, &placementv1.SealVolumeRequest{
		Volume: v.entry.GetId(), Generation: v.entry.GetGeneration(), Length: length,
	})
	if err != nil {
		return fmt.Errorf("sealing volume %#x at %d rows: %w", v.entry.GetId(), length, err)
	}
	decided := answer.GetVolume()
	if decided.GetState() != placementv1.VolumeState_VOLUME_STATE_SEALED || decided.GetLength() < v.settled() {
		return fault.Bug("volume %#x is %v at %d rows, %d are acknowledged",
			v.entry.GetId(), decided.GetState(), decided.GetLength(), v.settled())
	}
	if w.learn != nil {
		w.learn(decided)
	}
	w.log.InfoContext(ctx, "volume sealed", slog.Uint64("volume", v.entry.GetId()), slog.Uint64("rows", decided.GetLength()))
	w.writeFooters(ctx, v, proofs, decided.GetLength())
	return nil
}

// proof is what a member answered to a fence.
type proof struct {
	column int
	end    uint64
}

// fence fences all members at once and returns the proofs of those that answered.
func (w *Writer) fence(ctx context.Context, v *openVolume) []proof {
	var mu sync.Mutex
	proofs := make([]proof, 0, v.scheme.N())
	var fencing sync.WaitGroup
	for column, member := range v.entry.GetMembers() {
		fencing.Go(func() {
			answer, err := w.peers.Fence(ctx, member.GetNode(), v.refs[column])
			if err != nil {
				w.log.InfoContext(ctx, "member not fenced", slog.Uint64("volume", v.entry.GetId()),
					slog.Int("column", column), slog.Any("error", err))
				return
			}
			mu.Lock()
			defer mu.Unlock()
			proofs = append(proofs, proof{column: column, end: answer.GetEndRow()})
		})
	}
	fencing.Wait()
	return proofs
}

// sealedLength is the k-th largest end: every acknowledged row is in every proof, so it is never below one, and k
// columns reach it. Fewer than k proofs prove nothing. Errors: errProofs; INTERNAL when members lost what they acked.
func sealedLength(proofs []proof, k int, acked uint64) (uint64, error) {
	if len(proofs) < k {
		return 0, fmt.Errorf("%w: %d of at least %d", errProofs, len(proofs), k)
	}
	ends := make([]uint64, len(proofs))
	for i, p := range proofs {
		ends[i] = p.end
	}
	slices.Sort(ends)
	length := ends[len(ends)-k]
	if length < acked {
		return 0, fault.Bug("fewer than %d members have the %d rows that they acknowledged", k, acked)
	}
	return length, nil
}

// writeFooters seals the chunks that reach the length. It is best effort: shorter ones are repaired first, and a chunk
// without a footer is read all the same.
func (w *Writer) writeFooters(ctx context.Context, v *openVolume, proofs []proof, length uint64) {
	var writing sync.WaitGroup
	for _, p := range proofs {
		if p.end < length {
			continue
		}
		writing.Go(func() {
			node := v.entry.GetMembers()[p.column].GetNode()
			if err := w.peers.Seal(ctx, node, v.refs[p.column], length); err != nil {
				w.log.InfoContext(ctx, "footer not written", slog.Uint64("volume", v.entry.GetId()),
					slog.Int("column", p.column), slog.Any("error", err))
			}
		})
	}
	writing.Wait()
}
