package volume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	chunkv1 "github.com/drystone-store/drystone/proto/gen/drystone/chunk/v1"
	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/datapath/block"
	"github.com/drystone-store/drystone/services/datapath/erasure"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// openAttempts bounds how often a volume is asked for in a row: each one excludes the disks that failed the last.
	openAttempts = 5
	// openPatience bounds them all: a writer has 5 s to go on after a zone died, and an etcd member may have died with
	// it.
	openPatience = 4500 * time.Millisecond
	// openBackoff is the first wait after placement did not answer, or members shed load; it doubles.
	openBackoff = 50 * time.Millisecond
	// openRetryAfter is what callers are told when no volume can be had and placement named no delay.
	openRetryAfter = time.Second
)

var (
	// errMembers says that chunks of a new volume could not be created: others will be chosen.
	errMembers = errors.New("chunks could not be created")
	// errNobody says the same when no member is to blame: the same ones are asked again, after a while.
	errNobody = errors.New("chunks could not be created now")
)

// open makes a volume that is ready for appends. Errors: NOT_ENOUGH_DISKS, INVALID_SCHEME; UNAVAILABLE when placement
// or enough chunk-servers cannot be reached. All but INVALID_SCHEME carry a retry delay.
func (w *Writer) open(ctx context.Context, l *lane) (*openVolume, error) {
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	backoff := openBackoff
	for attempt := 1; ; attempt++ {
		v, err := w.tryOpen(ctx, l)
		if err == nil {
			w.metrics.opened.WithLabelValues(className(l.key.class)).Inc()
			return v, nil
		}
		wait, again := w.openAgain(err, &backoff)
		if !again || attempt == openAttempts {
			return nil, openFailed(err)
		}
		w.log.InfoContext(ctx, "volume not opened, trying again", slog.Any("error", err), slog.Int("attempt", attempt))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, openFailed(err)
		}
	}
}

// openAgain says whether another try may do better, and after which wait.
func (w *Writer) openAgain(err error, backoff *time.Duration) (time.Duration, bool) {
	switch {
	case errors.Is(err, errMembers):
		return 0, true
	case errors.Is(err, errNobody):
		return double(backoff), true
	case fault.Is(err, typesv1.Reason_REASON_NOT_ENOUGH_DISKS):
		// Our own suspicions may be what leaves too few.
		return 0, w.suspects.relax()
	case fault.Is(err, typesv1.Reason_REASON_TERM_EXPIRED, typesv1.Reason_REASON_NO_SUCH_VOLUME,
		typesv1.Reason_REASON_VOLUME_CONFLICT):
		return 0, true
	case fault.Code(err) == codes.Unavailable, fault.Code(err) == codes.DeadlineExceeded:
		return double(backoff), true
	default:
		return 0, false
	}
}

// double returns a wait and doubles it for the next time.
func double(backoff *time.Duration) time.Duration {
	wait := *backoff
	*backoff *= 2
	return wait
}

// openFailed is what the writers who wait for the volume are told.
func openFailed(err error) error {
	if fault.Is(err, typesv1.Reason_REASON_INVALID_SCHEME, typesv1.Reason_REASON_SCHEME_DOES_NOT_FIT) {
		return err
	}
	retry, ok := fault.RetryAfter(err)
	if !ok {
		retry = openRetryAfter
	}
	if fault.Is(err, typesv1.Reason_REASON_NOT_ENOUGH_DISKS) {
		return fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_NOT_ENOUGH_DISKS,
			"too few disks are healthy to keep what the bucket is promised").WithRetryAfter(retry)
	}
	return fault.Wrap(err, codes.Unavailable, typesv1.Reason_REASON_UNAVAILABLE,
		"no volume can be opened now").WithRetryAfter(retry)
}

// tryOpen asks for a volume once, creates its chunks and confirms it. What it leaves behind when it fails, an
// `opening` entry and perhaps chunks, repair removes.
func (w *Writer) tryOpen(ctx context.Context, l *lane) (*openVolume, error) {
	t, err := w.terms.wait(ctx)
	if err != nil {
		return nil, err
	}
	usable := w.topology.Snapshot().Usable(w.suspects.has)
	answer, err := w.placement.OpenVolume(ctx, &placementv1.OpenVolumeRequest{
		Writer: w.name, Term: t.id, VolumeClass: l.key.class, Scheme: l.key.scheme.Proto(), ExcludeDisks: w.suspects.list(),
	})
	if fault.Is(err, typesv1.Reason_REASON_TERM_EXPIRED) {
		w.terms.expire(t)
	}
	if err != nil {
		return nil, fmt.Errorf("opening a volume under %s: %w", l.key.scheme, err)
	}
	v, err := newOpenVolume(l, answer.GetVolume(), t)
	if err != nil {
		return nil, err
	}
	v.usableDisks = usable
	if err := w.createChunks(ctx, v); err != nil {
		return nil, err
	}
	confirmed, err := w.placement.ConfirmVolume(ctx, &placementv1.ConfirmVolumeRequest{
		Volume: v.entry.GetId(), Revision: v.entry.GetRevision(),
	})
	if err != nil {
		return nil, fmt.Errorf("confirming volume %#x: %w", v.entry.GetId(), err)
	}
	v.entry = confirmed.GetVolume()
	if w.learn != nil {
		w.learn(v.entry)
	}
	w.log.InfoContext(ctx, "volume opened", slog.Uint64("volume", v.entry.GetId()),
		slog.String("class", className(l.key.class)), slog.String("scheme", v.scheme.String()),
		slog.String("wanted", l.key.scheme.String()))
	return v, nil
}

// createChunks creates all chunks of a volume at once. It waits for every answer, so that the next try avoids all
// members that fail. Errors: errMembers; errNobody.
func (w *Writer) createChunks(ctx context.Context, v *openVolume) error {
	had := openPatience
	if deadline, ok := ctx.Deadline(); ok {
		had = deadline.Sub(clock.Now())
	}
	errs := make([]error, v.scheme.N())
	var creating sync.WaitGroup
	for column, member := range v.entry.GetMembers() {
		creating.Go(func() {
			errs[column] = w.peers.Create(ctx, member.GetNode(), &chunkv1.CreateChunkRequest{
				Chunk: v.refs[column], ClusterId: w.topology.Snapshot().ClusterID(), Writer: w.name, Term: v.term.id,
				K: uint32(v.scheme.K), M: uint32(v.scheme.M), Capacity: v.capacity,
			})
		})
	}
	creating.Wait()
	kind, all := errNobody, error(nil)
	for column, err := range errs {
		if err == nil {
			continue
		}
		if !excused(ctx, had, err) {
			w.accuse(v, column, err)
			kind = errMembers
		}
		all = errors.Join(all, err)
	}
	if all != nil {
		return fmt.Errorf("volume %#x: %w: %w", v.entry.GetId(), kind, all)
	}
	return nil
}

// accuse keeps away from the disk, or the node, that an error of a member speaks against, and tells placement.
func (w *Writer) accuse(v *openVolume, column int, err error) {
	if blame(err) <= scopeChunk {
		return
	}
	w.avoid(v, column, err)
	w.suspects.report(v.entry.GetMembers()[column].GetDisk(), err)
}

// avoid keeps away from the disk, or the node, that an error of a member speaks against.
func (w *Writer) avoid(v *openVolume, column int, err error) {
	member := v.entry.GetMembers()[column]
	w.suspects.add(member.GetDisk())
	if blame(err) != scopeNode {
		return
	}
	if node, ok := w.topology.Snapshot().Node(member.GetNode()); ok {
		for _, disk := range node.GetDisks() {
			w.suspects.add(disk.GetId())
		}
	}
}

// newOpenVolume checks a map entry and makes the appender of it.
func newOpenVolume(l *lane, entry *placementv1.Volume, t *term) (*openVolume, error) {
	scheme, err := erasure.FromProto(entry.GetScheme())
	if err != nil {
		return nil, fmt.Errorf("volume %#x as placement opened it: %w", entry.GetId(), err)
	}
	code, err := erasure.NewCode(scheme)
	if err != nil {
		return nil, fmt.Errorf("volume %#x: %w", entry.GetId(), err)
	}
	rows := entry.GetCapacity() / uint64(scheme.K) / block.Size * block.Size
	if len(entry.GetMembers()) != scheme.N() || rows == 0 {
		return nil, fault.Bug("placement opened volume %#x under %s with %d members and %d bytes",
			entry.GetId(), scheme, len(entry.GetMembers()), entry.GetCapacity())
	}
	v := &openVolume{
		lane: l, entry: entry, term: t, scheme: scheme, code: code, capacity: rows,
		slots: make(chan struct{}, appendsInFlight), drained: make(chan struct{}),
	}
	for column, member := range entry.GetMembers() {
		v.refs = append(v.refs, &chunkv1.ChunkRef{
			Volume: entry.GetId(), Generation: entry.GetGeneration(), Column: uint32(column),
			Attempt: member.GetAttempt(), Disk: member.GetDisk(),
		})
	}
	return v, nil
}

// className is a volume class as metrics and logs show it.
func className(class typesv1.VolumeClass) string {
	switch class {
	case typesv1.VolumeClass_VOLUME_CLASS_PACKED:
		return "packed"
	case typesv1.VolumeClass_VOLUME_CLASS_STREAM:
		return "stream"
	default:
		return "system"
	}
}
