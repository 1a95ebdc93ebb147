package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpguts"

	"github.com/drystone-store/drystone/services/drystone/internal/client"
	"github.com/drystone-store/drystone/services/drystone/internal/progress"
)

const stdio = "-"

func newPut(g *globals) *cobra.Command {
	p := &putter{globals: g}
	var metadata []string
	cmd := &cobra.Command{
		Use:   "put FILE BUCKET/KEY",
		Short: "Store a file, or with -r a folder",
		Long: `Stores FILE as KEY, exactly as the key is written; "-" is standard input. Without a key the file keeps its name.
With -r every file below the folder FILE is stored below KEY: put -r photos box/2026 makes box/2026/cat.jpg.
The checksum goes with the bytes; the server stores nothing that does not match it.`,
		Args: between(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if p.metadata, err = parseMetadata(metadata); err != nil {
				return err
			}
			return p.run(cmd.Context(), args[0], args[1])
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&p.recursive, "recursive", "r", false, "store every file below a folder")
	f.StringVar(&p.contentType, "content-type", "", "media type (default: by the file's name)")
	f.StringArrayVar(&metadata, "meta", nil, "user metadata `NAME=VALUE`; may be given several times")
	return cmd
}

// putter is one run of `put`.
type putter struct {
	*globals
	recursive   bool
	contentType string
	metadata    map[string]string

	client *client.Client
	line   *progress.Line
	outMu  sync.Mutex
	// unread counts what of a folder could not be read.
	unread int
}

func (p *putter) run(ctx context.Context, file, to string) error {
	t, err := parseTarget(to)
	if err != nil {
		return err
	}
	if t.key == "" && !p.recursive {
		if file == stdio {
			return usagef("standard input has no name: write %s/KEY", t.bucket)
		}
		t.key = filepath.Base(file)
	}
	if p.recursive && file == stdio {
		return usagef("-r needs a folder, not standard input")
	}
	if p.client, err = p.connect(); err != nil {
		return err
	}
	defer p.client.Close()
	p.line = progress.Start(p.Err, file)
	defer p.line.Stop()
	switch {
	case p.recursive:
		return p.folder(ctx, file, t)
	case file == stdio:
		return p.stdin(ctx, t)
	}
	return p.file(ctx, file, t)
}

func (p *putter) stdin(ctx context.Context, t target) error {
	p.line.Expect(1, -1)
	return p.store(ctx, stdio, t, p.In, -1)
}

func (p *putter) file(ctx context.Context, name string, t target) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	return p.opened(ctx, name, f, t)
}

// opened stores an open file and closes it.
func (p *putter) opened(ctx context.Context, name string, f *os.File, t target) error {
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = usagef("%s is a folder: use -r", name)
	case info.Mode().IsRegular():
		p.line.Expect(1, info.Size())
		err = p.store(ctx, name, t, f, info.Size())
	default:
		// A pipe or a device says no size.
		p.line.Expect(1, -1)
		err = p.store(ctx, name, t, f, -1)
	}
	return errors.Join(err, f.Close())
}

func (p *putter) store(ctx context.Context, name string, t target, body io.Reader, size int64) error {
	resp, err := p.client.Put(ctx, client.Upload{
		Bucket: t.bucket, Key: t.key, Metadata: p.metadata, Body: p.line.Reader(body), Size: size,
		ContentType: first(p.contentType, mime.TypeByExtension(filepath.Ext(name))),
	})
	if err != nil {
		return fmt.Errorf("put %s to %s: %w", name, t, err)
	}
	p.line.FileDone()
	p.outMu.Lock()
	defer p.outMu.Unlock()
	p.line.Wipe()
	if p.json {
		return writeJSON(p.Out, objectLine{
			Bucket: t.bucket, Key: t.key, Size: resp.GetSize(), ETag: resp.GetEtag(), VersionID: resp.GetVersionId(),
			LastModified: rfc3339(resp.GetLastModified()), Checksum: resp.GetChecksumCrc64Nvme(), File: name,
		})
	}
	return writeln(p.Out, fmt.Sprintf("%s -> %s (%s)", name, printable(t.String()), progress.Bytes(resp.GetSize())))
}

func parseMetadata(pairs []string) (map[string]string, error) {
	out := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || !httpguts.ValidHeaderFieldName(name) {
			return nil, usagef("--meta %q: write NAME=VALUE, where NAME holds letters, digits and hyphens", pair)
		}
		if !httpguts.ValidHeaderFieldValue(value) {
			return nil, usagef("--meta %s: its value holds control characters", name)
		}
		out[strings.ToLower(name)] = value
	}
	return out, nil
}
