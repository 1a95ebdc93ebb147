package volume

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	placementv1 "github.com/drystone-store/drystone/proto/gen/drystone/placement/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	// suspectFor is how long a disk that failed under this writer is kept out of its new volumes: placement notices a
	// dead node by its heartbeats well before. It is short, because it also keeps out a node that came back.
	suspectFor = 15 * time.Second
	// suspectFresh is how old a suspicion may be to count when placement has too few disks because of it: a node that
	// was killed a moment before the next one died is back in about a second, and writes must go on within five.
	suspectFresh = time.Second
	// reportEvery bounds reports of one disk: all its open volumes fail within one moment.
	reportEvery = time.Second
	// fairPatience is the least time that a call must have had before its passed deadline speaks against a member: as
	// long as an append may take.
	fairPatience = stallTick * stallTicks
	// reportTimeout bounds the sending of reports; they are advice, and the next failure reports again.
	reportTimeout = 3 * time.Second
)

// scope is how much of a member an error speaks against.
type scope int

const (
	scopeNobody scope = iota // the node sheds load: who avoided it would push the load on to the others
	scopeChunk               // the chunk alone: fenced by a restart or sealed by repair
	scopeDisk
	scopeNode
)

// blame says what an error of a member speaks against.
func blame(err error) scope {
	switch fault.Reason(err) {
	case typesv1.Reason_REASON_OVERLOADED:
		return scopeNobody
	case typesv1.Reason_REASON_CHUNK_FENCED, typesv1.Reason_REASON_CHUNK_STALE, typesv1.Reason_REASON_CHUNK_EXISTS,
		typesv1.Reason_REASON_ROW_MISMATCH, typesv1.Reason_REASON_CHUNK_CORRUPT:
		return scopeChunk
	case typesv1.Reason_REASON_DISK_FULL, typesv1.Reason_REASON_DISK_FAILED, typesv1.Reason_REASON_DISK_READ_ONLY:
		return scopeDisk
	default:
	}
	switch fault.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		return scopeNode
	default: // what the node cannot do with this disk, it will not be able to do for the next volume
		return scopeDisk
	}
}

// excused says that an error of a call speaks against nobody: the caller gave up, was about to when it began, or the node
// sheds load. had is the time that the call had.
func excused(ctx context.Context, had time.Duration, err error) bool {
	switch fault.Code(err) {
	case codes.Canceled:
		return ctx.Err() != nil
	case codes.DeadlineExceeded:
		return ctx.Err() != nil || had < fairPatience
	default:
		return blame(err) == scopeNobody
	}
}

// suspects are disks that failed under this writer lately.
type suspects struct {
	writer    string
	placement placementv1.PlacementServiceClient
	log       *slog.Logger
	// start runs a task that the writer waits for.
	start func(task func(context.Context)) bool

	mu       sync.Mutex
	since    map[string]time.Time
	reported map[string]time.Time
	pending  []*placementv1.DiskReport
	sending  bool
}

// add keeps a disk out of new volumes for a while.
func (s *suspects) add(disk string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since[disk] = clock.Now()
}

// report tells placement of a disk that failed.
func (s *suspects) report(disk string, cause error) {
	now := clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.reported[disk]; ok && now.Sub(last) < reportEvery {
		return
	}
	s.reported[disk] = now
	s.pending = append(s.pending, &placementv1.DiskReport{
		Disk: disk, Reason: fault.Name(fault.Reason(cause)), Detail: cause.Error(),
	})
	if !s.sending {
		s.sending = s.start(s.send)
	}
}

// send reports until nothing is pending.
func (s *suspects) send(ctx context.Context) {
	for {
		s.mu.Lock()
		reports := s.pending
		s.pending = nil
		s.sending = len(reports) > 0
		s.mu.Unlock()
		if len(reports) == 0 {
			return
		}
		s.deliver(ctx, reports)
	}
}

func (s *suspects) deliver(ctx context.Context, reports []*placementv1.DiskReport) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	_, err := s.placement.ReportDisks(ctx, &placementv1.ReportDisksRequest{Reporter: s.writer, Reports: reports})
	if err != nil {
		s.log.WarnContext(ctx, "disks not reported", slog.Int("disks", len(reports)), slog.Any("error", err))
	}
}

// list is what OpenVolume must not choose.
func (s *suspects) list() []string {
	now := clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	disks := make([]string, 0, len(s.since))
	for disk, since := range s.since {
		if now.Sub(since) > suspectFor {
			delete(s.since, disk)
			delete(s.reported, disk)
			continue
		}
		disks = append(disks, disk)
	}
	return disks
}

// has says that a disk is suspect.
func (s *suspects) has(disk string) bool {
	now := clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	since, ok := s.since[disk]
	return ok && now.Sub(since) <= suspectFor
}

// relax forgets suspicions that are not fresh and says whether there were any.
func (s *suspects) relax() bool {
	now := clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	forgot := false
	for disk, since := range s.since {
		if now.Sub(since) > suspectFresh {
			delete(s.since, disk)
			forgot = true
		}
	}
	return forgot
}
