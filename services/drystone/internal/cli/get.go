package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	"github.com/drystone-store/drystone/services/drystone/internal/client"
	"github.com/drystone-store/drystone/services/drystone/internal/progress"
)

func newGet(g *globals) *cobra.Command {
	get := &getter{globals: g}
	cmd := &cobra.Command{
		Use:   "get BUCKET/KEY [FILE|-]",
		Short: "Read an object into a file, or with -r a folder",
		Long: `Reads an object into FILE, or into the file that the end of its key names; "-" is standard output.
With -r every object below KEY is read into the folder FILE ("." by default): get -r box/2026 photos makes
photos/cat.jpg of box/2026/cat.jpg.
A file appears under its name only when it is whole and its checksum is right.`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			to := ""
			if len(args) > 1 {
				to = args[1]
			}
			return get.run(cmd.Context(), args[0], to)
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&get.recursive, "recursive", "r", false, "read every object below a prefix")
	f.StringVar(&get.version, "version-id", "", "read this version instead of the current one")
	return cmd
}

// getter is one run of `get`.
type getter struct {
	*globals
	recursive bool
	version   string

	client *client.Client
	line   *progress.Line
	outMu  sync.Mutex
}

func (g *getter) run(ctx context.Context, from, to string) error {
	parse := parseObject
	if g.recursive {
		parse = parseTarget
	}
	t, err := parse(from)
	switch {
	case err != nil:
		return err
	case g.recursive && to == stdio:
		return usagef("-r needs a folder, not standard output")
	case g.recursive && g.version != "":
		return usagef("--version-id names a version of one object: leave -r out")
	}
	if !g.recursive && to != stdio {
		if to, err = fileFor(t, to); err != nil {
			return err
		}
	}
	if g.client, err = g.connect(); err != nil {
		return err
	}
	defer g.client.Close()
	g.line = progress.Start(g.Err, printable(t.String()))
	defer g.line.Stop()
	switch {
	case g.recursive:
		return g.folder(ctx, t, first(to, "."))
	case to == stdio:
		return g.stdout(ctx, t)
	}
	return g.file(ctx, t, to)
}

// fileFor finds the file for one object: to, or in the folder to, or here, what the key ends in.
func fileFor(t target, to string) (string, error) {
	if to != "" {
		info, err := os.Stat(to)
		if (err != nil || !info.IsDir()) && !strings.HasSuffix(to, string(filepath.Separator)) {
			return to, nil
		}
	}
	name, err := filepath.Localize(t.key[strings.LastIndex(t.key, "/")+1:])
	if err != nil || name == "." {
		return "", usagef("the key %q ends in no file name: name the FILE", t.key)
	}
	return filepath.Join(to, name), nil
}

func (g *getter) stdout(ctx context.Context, t target) error {
	// Small writes to a pipe would cost a system call each; what is written before an error has reached the reader.
	out := bufio.NewWriterSize(g.Out, 1<<20)
	_, err := g.fetch(ctx, t, out)
	if flushErr := out.Flush(); err == nil && flushErr != nil {
		err = fmt.Errorf("write to standard output: %w", flushErr)
	}
	return err
}

func (g *getter) file(ctx context.Context, t target, name string) error {
	// What exists and is no plain file, such as /dev/null or a pipe, is written to and never replaced.
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("get %s: %w", t, err)
		}
		_, err = g.fetch(ctx, t, f)
		return errors.Join(err, f.Close())
	}
	if resolved, err := filepath.EvalSymlinks(name); err == nil {
		name = resolved // Write what a link points to, not over the link.
	}
	dir, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return fmt.Errorf("get %s: %w", t, err)
	}
	defer func() { _ = dir.Close() }()
	return g.save(ctx, t, dir, filepath.Base(name), name)
}

// save reads an object into a file of dir; shown is its name for people.
func (g *getter) save(ctx context.Context, t target, dir *os.Root, name, shown string) error {
	part, err := createPartial(dir, name)
	if err != nil {
		return fmt.Errorf("get %s: %w", t, err)
	}
	o, err := g.fetch(ctx, t, part.file)
	if err != nil {
		return errors.Join(err, part.discard())
	}
	if err := part.publish(); err != nil {
		return fmt.Errorf("get %s into %s: %w", t, shown, err)
	}
	return g.report(t, o, shown)
}

// fetch reads an object to w, counted by the progress line.
func (g *getter) fetch(ctx context.Context, t target, w io.Writer) (*apiv1.Object, error) {
	o, err := g.client.Get(ctx, client.Download{
		Bucket: t.bucket, Key: t.key, VersionID: g.version,
		Begin: func(o *apiv1.Object) {
			if !g.recursive {
				g.line.Expect(1, o.GetSize())
			}
		},
	}, g.line.Writer(w))
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", t, err)
	}
	g.line.FileDone()
	return o, nil
}

func (g *getter) report(t target, o *apiv1.Object, shown string) error {
	g.outMu.Lock()
	defer g.outMu.Unlock()
	g.line.Wipe()
	if g.json {
		line := lineOf(t.bucket, o)
		line.File = shown
		return writeJSON(g.Out, line)
	}
	return writeln(g.Out, fmt.Sprintf("%s -> %s (%s)", printable(t.String()), shown, progress.Bytes(o.GetSize())))
}
