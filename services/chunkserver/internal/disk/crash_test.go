package disk

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/crashfs"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs/faultfs"
	"github.com/drystone-store/drystone/services/kit/fault"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 42)) }

// ledger is what the test was told by a disk, and what it tried: all that a crash may leave.
type ledger struct {
	mu     sync.Mutex
	chunks map[uint64]*entry
}

type entry struct {
	created bool
	// tried are all bytes sent, in the order of rows, bounds the rows at which a frame ends.
	tried  []byte
	bounds []int
	// acked is the row before which everything was acknowledged, fenced and sealed the rows answered; -1: not yet.
	acked, fenced, sealed int
}

func (l *ledger) of(volume uint64) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.chunks[volume] == nil {
		l.chunks[volume] = &entry{fenced: -1, sealed: -1}
	}
	return l.chunks[volume]
}

// copy is what was known at one moment.
func (l *ledger) copy() map[uint64]entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[uint64]entry{}
	for v, e := range l.chunks {
		out[v] = *e
	}
	return out
}

func (l *ledger) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// TestPowerCuts: creates, appends (several in flight), fences and seals in any order; at any operation of the file
// system the power goes and each unsynced sector is kept or lost by a coin. Then everything acknowledged is there and
// intact, what was not is there whole or not at all, and fences hold. Several cuts in a row.
func TestPowerCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if problem := cutAndJudge(t, nil); problem != "" {
			t.Fatal(problem)
		}
	})
}

// TestPowerCutsControl: the same test must catch a disk that forgets one of its duties.
func TestPowerCutsControl(t *testing.T) {
	for name, lie := range map[string]func(faultfs.Op) bool{
		"no sync of chunks":        func(op faultfs.Op) bool { return op.Kind == faultfs.Datasync && isChunk(op) },
		"no sync of the catalogue": func(op faultfs.Op) bool { return op.Kind == faultfs.Datasync && !isChunk(op) },
		"no sync of folders":       func(op faultfs.Op) bool { return op.Kind == faultfs.SyncDir },
	} {
		t.Run(name, func(t *testing.T) {
			caught := 0
			rapid.Check(t, func(t *rapid.T) {
				if cutAndJudge(t, lie) != "" {
					caught++
				}
			})
			if caught == 0 {
				t.Error("it passed the test of power cuts")
			}
		})
	}
}

func cutAndJudge(t *rapid.T, lie func(faultfs.Op) bool) string {
	disk := crashfs.New()
	if err := Format(disk, testPath, testCluster); err != nil {
		t.Fatal(err)
	}
	told := &ledger{chunks: map[uint64]*entry{}}
	for range rapid.IntRange(1, 3).Draw(t, "cuts") {
		after, known, problem := runUntilCut(t, disk, told, lie)
		if problem != "" {
			return problem
		}
		if problem := judge(after, known, told); problem != "" {
			return problem
		}
		disk = after
	}
	return ""
}

// runUntilCut works on a disk; the answer is the disk after the power went at a random operation, and what had been
// acknowledged before that.
func runUntilCut(t *rapid.T, disk *crashfs.FS, told *ledger, lie func(faultfs.Op) bool) (*crashfs.FS, map[uint64]entry, string) {
	var fs vfs.FS = disk
	if lie != nil {
		fs = faultfs.New(disk, func(op faultfs.Op) error {
			if lie(op) {
				return faultfs.ErrSkip
			}
			return nil
		})
	}
	cutAt := disk.Ops() + rapid.IntRange(1, 120).Draw(t, "cut")
	rng, keep := newRand(rapid.Uint64().Draw(t, "seed")), rapid.SampledFrom([]float64{0, 0.1, 0.5, 0.9, 1}).Draw(t, "keep")
	var after *crashfs.FS
	var known map[uint64]entry
	disk.OnOp(func(op int, fs *crashfs.FS) {
		if op == cutAt {
			after, known = fs.CloneLocked(rng, keep), told.copy()
		}
	})
	d, err := Open(options(fs))
	if err != nil {
		return nil, nil, "open: " + err.Error()
	}
	problem := work(t, d, told)
	if after == nil {
		known = told.copy()
		after = disk.CrashClone(rng, keep)
	}
	disk.OnOp(nil)
	if err := d.Close(context.Background()); err != nil && problem == "" {
		problem = "close: " + err.Error()
	}
	return after, known, problem
}

// work does random things with few volumes and keeps the ledger.
func work(t *rapid.T, d *Disk, told *ledger) string {
	var flying sync.WaitGroup
	defer flying.Wait()
	for range rapid.IntRange(1, 25).Draw(t, "steps") {
		volume := rapid.Uint64Range(1, 3).Draw(t, "volume")
		e := told.of(volume)
		switch rapid.SampledFrom([]string{"create", "append", "append", "append", "burst", "wait", "fence", "seal"}).Draw(t, "step") {
		case "create":
			err := d.Create(header(volume))
			if err == nil {
				told.note(func() { e.created = true })
			} else if !fault.Is(err, typesv1.Reason_REASON_CHUNK_EXISTS) {
				return "create: " + err.Error()
			}
		case "append":
			appendSome(t, d, told, volume, 1, &flying)
			flying.Wait()
		case "burst":
			appendSome(t, d, told, volume, rapid.IntRange(2, 8).Draw(t, "frames"), &flying)
		case "wait":
			flying.Wait()
		case "fence":
			if r, err := d.Fence(key(volume)); err == nil {
				told.note(func() { e.fenced = int(r.EndRow) })
			} else if e.created {
				return "fence: " + err.Error()
			}
		case "seal":
			if e.fenced < 0 || e.sealed >= 0 {
				continue
			}
			length := e.fenced
			if err := d.Seal(key(volume), uint64(length)); err != nil {
				return "seal: " + err.Error()
			}
			told.note(func() { e.sealed = length })
		}
	}
	return ""
}

// appendSome sends frames without waiting. What a refusal leaves untried is forgotten again.
func appendSome(t *rapid.T, d *Disk, told *ledger, volume uint64, frames int, flying *sync.WaitGroup) {
	e := told.of(volume)
	if !e.created || e.fenced >= 0 {
		return
	}
	for range frames {
		told.mu.Lock()
		row := len(e.tried)
		told.mu.Unlock()
		n := rapid.SampledFrom([]int{1, 100, 4000, 4096, 5000, 9000, 70_000}).Draw(t, "rows")
		n = min(n, format.BlockSize-row%format.BlockSize)
		data := random(volume<<32+uint64(row), n)
		told.note(func() {
			e.tried = append(slices.Clip(e.tried), data...)
			e.bounds = append(slices.Clip(e.bounds), row+n)
		})
		a := frame(uint64(row), data)
		flying.Add(1)
		a.Done = func(err error) {
			if err == nil {
				told.note(func() { e.acked = max(e.acked, row+n) })
			}
			flying.Done()
		}
		if err := d.Append(key(volume), a); err != nil {
			flying.Done()
			told.note(func() { e.tried, e.bounds = e.tried[:row], e.bounds[:len(e.bounds)-1] })
			return
		}
	}
}

// judge opens what the cut left and compares it with the ledger of that moment; the ledger goes on from what is there.
func judge(after *crashfs.FS, known map[uint64]entry, told *ledger) string {
	d, err := Open(options(after))
	if err != nil {
		return "open after the cut: " + err.Error()
	}
	defer func() { _ = d.Close(context.Background()) }()
	now := map[uint64]*entry{}
	for _, volume := range slices.Sorted(maps.Keys(told.chunks)) {
		was, all := known[volume], told.chunks[volume]
		r, err := d.Fence(key(volume))
		if fault.Is(err, typesv1.Reason_REASON_NO_SUCH_CHUNK) {
			if was.created {
				return fmt.Sprintf("volume %d: an acknowledged create is gone", volume)
			}
			continue
		}
		if err != nil {
			return fmt.Sprintf("volume %d: fence: %v", volume, err)
		}
		if problem := judgeChunk(d, volume, &was, all, r); problem != "" {
			return fmt.Sprintf("volume %d: %s (acked %d, tried %d)", volume, problem, was.acked, len(all.tried))
		}
		end := int(r.EndRow)
		now[volume] = &entry{created: true, tried: all.tried[:end:end], acked: end, fenced: end, sealed: -1}
		if r.State == format.StateSealed {
			now[volume].sealed = end
		}
	}
	told.note(func() { told.chunks = now })
	return ""
}

func judgeChunk(d *Disk, volume uint64, was, all *entry, r format.ChunkRecord) string {
	end := int(r.EndRow)
	switch {
	case r.Damaged:
		return "damage without rot"
	case end < was.acked:
		return fmt.Sprintf("ends at %d: acknowledged rows are gone", end)
	case end > len(all.tried):
		return fmt.Sprintf("ends at %d: rows that nobody wrote", end)
	case end != 0 && !slices.Contains(all.bounds, end) && end != all.fenced:
		return fmt.Sprintf("ends at %d: a torn frame", end)
	case was.fenced >= 0 && end != was.fenced && was.sealed < 0:
		return fmt.Sprintf("ends at %d, a fence had said %d", end, was.fenced)
	case was.sealed >= 0 && (r.State != format.StateSealed || end != was.sealed):
		return fmt.Sprintf("%v at %d, sealed at %d", r.State, end, was.sealed)
	}
	if err := check(d, key(volume), all.tried[:end]); err != nil {
		return err.Error()
	}
	if err := add(d, key(volume), frame(r.EndRow, []byte{1})); !fault.Is(err, typesv1.Reason_REASON_CHUNK_FENCED) {
		return fmt.Sprintf("an append after the restart: %v", err)
	}
	return ""
}
