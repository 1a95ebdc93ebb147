package catalogue

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
)

const prefix = "catalogue."

// Options say which catalogue to open.
type Options struct {
	FS  vfs.FS
	Dir string
	// Disk is the id that the catalogue must carry.
	Disk string
	// ReadOnly leaves the disk as it is: torn tails stay, rot is not mended, Put fails.
	ReadOnly bool
	// Rebuild is asked for the disk's state when the catalogue has rot or is gone: it gets what could be read and
	// answers what is true. Not asked when ReadOnly.
	Rebuild func(salvaged []format.ChunkRecord) ([]format.ChunkRecord, error)
}

// Report says what Open found.
type Report struct {
	// Torn is the number of slots at the end that no writer was told of.
	Torn int
	// Rot: slots that were acknowledged could not be read, or no file was there.
	Rot bool
}

// ErrReadOnly answers Put on a log that was opened so.
var ErrReadOnly = errors.New("the catalogue is read-only")

// Open reads a disk's catalogue. What it answers is on stable storage, also where a former process was killed before
// its sync.
func Open(o Options) (*Log, Report, error) {
	l := newLog(o.FS, o.Dir, o.Disk)
	files, err := l.readAll(o.ReadOnly)
	if err != nil {
		return nil, Report{}, err
	}
	chosen, report := choose(files)
	if len(files) > 0 {
		l.number = files[len(files)-1].number
	}
	if chosen == nil {
		return l.rebuild(o, files, report)
	}
	for _, s := range chosen.slots[1:chosen.end] {
		if s != nil {
			l.live[s.Chunk.Key] = *s.Chunk
		}
	}
	if report.Rot {
		return l.rebuild(o, files, report)
	}
	if o.ReadOnly {
		l.broken = ErrReadOnly
		return l, report, nil
	}
	l.removeOthers(files, chosen.number)
	return l, report, l.resume(chosen)
}

// candidate is a catalogue file as read; nil slots are those that did not parse.
type candidate struct {
	number uint64
	slots  []*format.Slot
	// end is the number of slots up to the end of the log.
	end int
	// whole: the snapshot that the file began with is complete.
	whole bool
	rot   bool
	// grown: slots were appended after the snapshot, so the file was whole once.
	grown bool
}

// readAll reads every catalogue file, oldest first.
func (l *Log) readAll(readOnly bool) ([]*candidate, error) {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return nil, fmt.Errorf("list the catalogue's folder: %w", err)
	}
	var out []*candidate
	for _, name := range names {
		text, ok := strings.CutPrefix(name, prefix)
		number, err := strconv.ParseUint(text, 10, 64)
		if !ok || err != nil {
			continue
		}
		c, err := l.read(number, readOnly)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *candidate) int { return cmp.Compare(a.number, b.number) })
	return out, nil
}

func (l *Log) read(number uint64, readOnly bool) (*candidate, error) {
	mode := vfs.ReadWrite
	if readOnly {
		mode = vfs.ReadOnly
	}
	file, err := l.fs.Open(filepath.Join(l.dir, fileName(number)), mode)
	if err != nil {
		return nil, err
	}
	b, err := readDurable(file, readOnly)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	return parse(number, l.disk, b)
}

// readDurable reads a file as the disk has it: what a killed process left unsynced is synced first, and memory is asked
// to forget, so that a page that a failed sync left clean does not pass for a stored one.
func readDurable(file vfs.File, readOnly bool) ([]byte, error) {
	if !readOnly {
		if err := file.Datasync(); err != nil {
			return nil, err
		}
	}
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	_ = file.DropCache(0, size) // advice; without it the bytes are those in memory, as with any file
	b := make([]byte, size)
	if _, err := file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// parse reads a file's slots and finds where the log ends. Error: ErrVersion for slots that newer software wrote, which
// must not pass for a torn tail.
func parse(number uint64, disk string, b []byte) (*candidate, error) {
	c := &candidate{number: number}
	last, mark := 0, uint64(0)
	for at := 0; at+format.SlotSize <= len(b); at += format.SlotSize {
		s, err := format.ParseSlot(b[at:])
		index := len(c.slots)
		if errors.Is(err, format.ErrVersion) {
			return nil, err
		}
		if err != nil || s.Place.File != number || s.Place.Index != uint64(index) || (s.Log != nil) != (index == 0) {
			c.slots = append(c.slots, nil)
			continue
		}
		c.slots = append(c.slots, s)
		last, mark = index, max(mark, s.Place.Synced)
	}
	if len(c.slots) == 0 {
		c.slots = []*format.Slot{nil}
	}
	head := c.slots[0]
	if head == nil || head.Log.Disk != disk {
		c.slots[0] = nil
		c.grown = mark > 0
		return c, nil
	}
	snapshot := head.Log.Snapshot
	c.grown = uint64(last) > snapshot
	c.whole = snapshot < uint64(len(c.slots)) && !slices.Contains(c.slots[:snapshot+1], nil)
	c.end, c.rot = findEnd(c.slots, mark)
	return c, nil
}

// findEnd is the first bad slot that no later one knew to be synced; rot says that there are bad ones before it.
func findEnd(slots []*format.Slot, mark uint64) (end int, rot bool) {
	for i, s := range slots {
		switch {
		case s != nil:
		case uint64(i) < mark:
			rot = true
		default:
			return i, rot
		}
	}
	return len(slots), rot
}

// choose picks the newest whole file. A newer one that is not whole was never in use, or it has rotted: then nothing
// is chosen.
func choose(files []*candidate) (*candidate, Report) {
	for i := len(files) - 1; i >= 0; i-- {
		c := files[i]
		if c.whole {
			torn := 0
			for _, s := range c.slots[c.end:] {
				if s != nil {
					torn++
				}
			}
			return c, Report{Torn: torn, Rot: c.rot}
		}
		if c.grown {
			break
		}
	}
	return nil, Report{Rot: true}
}

// rebuild starts a new catalogue from what can be read and what the disk's own files say.
func (l *Log) rebuild(o Options, files []*candidate, report Report) (*Log, Report, error) {
	for _, c := range files {
		for _, s := range c.slots {
			if s != nil && s.Chunk != nil {
				l.live[s.Chunk.Key] = *s.Chunk
			}
		}
	}
	if o.ReadOnly {
		l.broken = ErrReadOnly
		return l, report, nil
	}
	records, err := o.Rebuild(l.Records())
	if err != nil {
		return nil, report, fmt.Errorf("rebuild the catalogue: %w", err)
	}
	clear(l.live)
	if err := l.replace(records); err != nil {
		return nil, report, fmt.Errorf("rebuild the catalogue: %w", err)
	}
	l.removeOthers(files, l.number)
	return l, report, nil
}

// removeOthers deletes files that are not in use: those that a crash left half written, those that were replaced.
func (l *Log) removeOthers(files []*candidate, keep uint64) {
	for _, c := range files {
		if c.number != keep {
			// One that stays is older or not whole, so the next start judges it the same way.
			_ = l.fs.Remove(filepath.Join(l.dir, fileName(c.number)))
		}
	}
}

// resume cuts the torn tail and makes the file ready for appends.
func (l *Log) resume(c *candidate) error {
	file, err := l.fs.Open(filepath.Join(l.dir, fileName(c.number)), vfs.ReadWrite)
	if err != nil {
		return fmt.Errorf("open the catalogue: %w", err)
	}
	end := int64(c.end) * format.SlotSize
	err = file.Truncate(end)
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if err == nil {
		err = file.Datasync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("resume the catalogue: %w", err), file.Close())
	}
	l.file, l.number, l.slots, l.allocated = file, c.number, uint64(c.end), end
	return nil
}
