package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/chunkserver/internal/chunkfile"
	"github.com/drystone-store/drystone/services/chunkserver/internal/format"
	"github.com/drystone-store/drystone/services/chunkserver/internal/vfs"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// recover finds the end of a chunk that was open, cuts the torn tail and fences the chunk. On a disk that may not be
// written the chunk stays as it is and is read up to the same end.
func (d *Disk) recover(c *chunk) {
	scan, err := d.walk(c)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNothingLeft):
		// What it held is gone. It must not answer a fence with an end of 0, which would be a proof.
		d.log.Error("a chunk is lost", slog.String("chunk", c.key.String()), slog.Any("error", err))
		c.unusable = noSuchChunk(c.key)
		return
	case err != nil:
		c.unusable = d.Failed("recover a chunk", err)
		return
	}
	if scan.Damaged {
		d.log.Error("a chunk has rot below its end", slog.String("chunk", c.key.String()), slog.Uint64("end_row", scan.End.Row))
	}
	d.noteEntries(c, scan.Entries)
	if d.alive() != nil {
		c.pinned = chunkfile.NewIndex(scan.Entries)
		return
	}
	if err := d.settle(c, scan); err != nil {
		c.pinned = chunkfile.NewIndex(scan.Entries)
		c.unusable = nil
		d.log.Error("a recovered chunk could not be fenced", slog.String("chunk", c.key.String()), slog.Any("error", err))
		return
	}
	d.log.Info("chunk recovered and fenced", slog.String("chunk", c.key.String()),
		slog.Uint64("end_row", scan.End.Row), slog.Int("torn_frames", scan.Torn))
}

// errNothingLeft: neither a header nor a frame of the chunk can be found in its file.
var errNothingLeft = errors.New("nothing of the chunk is left in its file")

// walk reads the chunk's file as the disk has it.
func (d *Disk) walk(c *chunk) (chunkfile.Scan, error) {
	mode := vfs.ReadWrite
	if d.alive() != nil {
		mode = vfs.ReadOnly
	}
	file, err := d.fs.Open(d.chunkPath(c.key), mode)
	if err != nil {
		return chunkfile.Scan{}, err
	}
	scan, err := d.walkFile(c, file, mode)
	return scan, errors.Join(err, file.Close())
}

func (d *Disk) walkFile(c *chunk, file vfs.File, mode vfs.Mode) (chunkfile.Scan, error) {
	if mode == vfs.ReadWrite {
		// What a killed process left in memory becomes durable before anyone is told of it.
		if err := file.Datasync(); err != nil {
			return chunkfile.Scan{}, err
		}
	}
	size, err := file.Size()
	if err != nil {
		return chunkfile.Scan{}, err
	}
	_ = file.DropCache(0, size) // a page that a failed sync left clean must not pass for a stored one
	scan, err := chunkfile.Recover(file, c.key, c.record.Nonce)
	if err != nil {
		return chunkfile.Scan{}, err
	}
	if !chunkfile.VerifyHeader(file, c.key, c.record.Nonce) {
		if len(scan.Entries) == 0 {
			return chunkfile.Scan{}, errNothingLeft
		}
		scan.Damaged = true
	}
	return scan, nil
}

// settle cuts the file at its end and makes the fence durable.
func (d *Disk) settle(c *chunk, scan chunkfile.Scan) error {
	if err := d.cut(c.key, scan); err != nil {
		return d.Failed("cut a torn tail", err)
	}
	r := c.record
	r.State = format.StateFenced
	r.EndRow, r.EndOffset, r.FileBytes = scan.End.Row, uint64(scan.End.Offset), uint64(scan.End.Offset)
	r.Damaged = scan.Damaged
	if err := d.catalogue.Put(r); err != nil {
		return d.Failed("fence a recovered chunk", err)
	}
	c.publish(r)
	return nil
}

// cut gives back what was allocated, and makes room for the footer: a full disk must be able to seal.
func (d *Disk) cut(k format.Key, scan chunkfile.Scan) error {
	file, err := d.fs.Open(d.chunkPath(k), vfs.ReadWrite)
	if err != nil {
		return err
	}
	err = file.Truncate(scan.End.Offset)
	if err == nil {
		_ = file.Allocate(scan.End.Offset, format.FooterSize(scan.Entries)) // without it the footer may find no space
		err = file.Datasync()
	}
	return errors.Join(err, file.Close())
}

// adoptStrays looks at chunk files that the catalogue does not know. With an intact catalogue those without frames were
// being made when the process ended: nobody was told of them, and they are removed. All others are kept.
func (d *Disk) adoptStrays(intact bool) error {
	names, err := d.fs.List(filepath.Join(d.path, chunksName))
	if err != nil {
		return fmt.Errorf("list chunks: %w", err)
	}
	known := make(map[string]bool, len(d.chunks))
	for k := range d.chunks {
		known[k.String()+chunkSuffix] = true
	}
	for _, name := range names {
		if known[name] || !strings.HasSuffix(name, chunkSuffix) {
			continue
		}
		if err := d.adopt(name, intact); err != nil {
			return fmt.Errorf("adopt %s: %w", name, err)
		}
	}
	return d.fs.SyncDir(filepath.Join(d.path, chunksName))
}

func (d *Disk) adopt(name string, intact bool) error {
	path := filepath.Join(d.path, chunksName, name)
	r, scan, err := d.describe(path)
	empty := err == nil && r.State == format.StateOpen && len(scan.Entries) == 0
	switch {
	case errors.Is(err, format.ErrVersion):
		return err // other software's: neither touched nor ignored
	case intact && (empty || noHeader(err)):
		d.log.Info("a chunk that was never finished is removed", slog.String("file", name))
		return d.fs.Remove(path)
	case err != nil:
		d.log.Error("a file that nobody knows is left alone", slog.String("file", name), slog.Any("error", err))
		return nil
	}
	d.log.Error("a chunk that the catalogue does not know is kept", slog.String("file", name))
	if err := d.catalogue.Put(r); err != nil {
		return err
	}
	d.chunks[r.Key] = &chunk{key: r.Key, record: r}
	return nil
}

// noHeader says that a file was read and does not begin as a chunk does.
func noHeader(err error) bool {
	for _, kind := range []error{format.ErrMagic, format.ErrChecksum, format.ErrForm, format.ErrShort, io.EOF} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// describe makes a chunk's record from its file alone.
func (d *Disk) describe(path string) (format.ChunkRecord, chunkfile.Scan, error) {
	file, err := d.fs.Open(path, vfs.ReadOnly)
	if err != nil {
		return format.ChunkRecord{}, chunkfile.Scan{}, err
	}
	r, scan, err := describeFile(file)
	return r, scan, errors.Join(err, file.Close())
}

func describeFile(file vfs.File) (format.ChunkRecord, chunkfile.Scan, error) {
	h, err := chunkfile.ReadHeader(file)
	if err != nil {
		return format.ChunkRecord{}, chunkfile.Scan{}, err
	}
	r := newRecord(h)
	size, err := file.Size()
	if err != nil {
		return r, chunkfile.Scan{}, err
	}
	if footer, err := chunkfile.LoadFooter(file, size, h.Key, h.Nonce); err == nil {
		r.State, r.EndRow, r.FileBytes = format.StateSealed, footer.Length, uint64(size)
		r.EndOffset = uint64(size - format.FooterSize(footer.Entries))
		return r, chunkfile.Scan{Entries: footer.Entries}, nil
	}
	scan, err := chunkfile.Recover(file, h.Key, h.Nonce)
	return r, scan, err
}

// rebuild makes the catalogue anew from the chunk files, which describe themselves, and keeps what was salvaged of
// chunks whose files say nothing.
func (d *Disk) rebuild(salvaged []format.ChunkRecord) ([]format.ChunkRecord, error) {
	names, err := d.fs.List(filepath.Join(d.path, chunksName))
	if err != nil {
		return nil, fmt.Errorf("list chunks: %w", err)
	}
	state := make(map[format.Key]format.ChunkRecord, len(names))
	for _, r := range salvaged {
		state[r.Key] = r
	}
	for _, name := range names {
		r, _, err := d.describe(filepath.Join(d.path, chunksName, name))
		if errors.Is(err, format.ErrVersion) {
			return nil, err
		}
		if err != nil {
			continue // adoptStrays says so
		}
		if known, ok := state[r.Key]; !ok || known.State < r.State {
			state[r.Key] = r
		}
	}
	out := make([]format.ChunkRecord, 0, len(state))
	for _, r := range state {
		out = append(out, r)
	}
	return out, nil
}

// newRecord is the record of a new chunk.
func newRecord(h *format.ChunkHeader) format.ChunkRecord {
	return format.ChunkRecord{
		Key: h.Key, State: format.StateOpen, K: uint16(h.K), M: uint16(h.M), Term: h.Term, Capacity: h.Capacity,
		Nonce: h.Nonce, EndOffset: format.PageSize, FileBytes: format.PageSize, CreatedMs: h.CreatedMs, Writer: h.Writer,
	}
}

// corrupt is what a reader of damaged rows gets.
func corrupt(cause error) error {
	return fault.Wrap(cause, codes.DataLoss, typesv1.Reason_REASON_CHUNK_CORRUPT, "%v", cause)
}
