package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	"github.com/drystone-store/drystone/services/drystone/internal/client"
)

// folder reads every object below a prefix into a folder. Keys are what others chose: os.Root keeps every write below
// the folder, whatever the keys and the links in the folder say.
func (g *getter) folder(ctx context.Context, from target, to string) error {
	if err := os.MkdirAll(to, 0o777); err != nil { //nolint:gosec // what the user's umask leaves, as every copy tool does
		return fmt.Errorf("get: %w", err)
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return fmt.Errorf("get: %w", err)
	}
	err = inParallel(ctx, g.objects(ctx, from), func(ctx context.Context, o *apiv1.Object) error {
		t := target{from.bucket, o.GetKey()}
		rel := strings.TrimPrefix(o.GetKey(), from.folder())
		if o.GetSize() == 0 && strings.HasSuffix(rel, "/") {
			return makeFolder(root, t, strings.TrimSuffix(rel, "/"))
		}
		name, err := localName(rel)
		if err != nil {
			return fmt.Errorf("get %s: %w", t, err)
		}
		if err := root.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return fmt.Errorf("get %s: %w", t, err)
		}
		return g.save(ctx, t, root, name, filepath.Join(to, name))
	})
	return errors.Join(err, root.Close())
}

// objects lists what lies below a prefix and tells the progress line.
func (g *getter) objects(ctx context.Context, from target) iter.Seq2[*apiv1.Object, error] {
	return func(yield func(*apiv1.Object, error) bool) {
		found := false
		for e, err := range g.client.List(ctx, from.bucket, client.ListOptions{Prefix: from.folder()}) {
			if err != nil {
				yield(nil, fmt.Errorf("list %s: %w", from, err))
				return
			}
			found = true
			g.line.Expect(1, e.Object.GetSize())
			if !yield(e.Object, nil) {
				return
			}
		}
		if !found && from.key != "" {
			yield(nil, fmt.Errorf("there is nothing below %s/%s", from.bucket, from.folder()))
		}
	}
}

// makeFolder makes the folder that an empty object with a trailing slash stands for in other tools.
func makeFolder(root *os.Root, t target, rel string) error {
	if rel == "" {
		return nil
	}
	name, err := localName(rel)
	if err == nil {
		err = root.MkdirAll(name, 0o777)
	}
	if err != nil {
		return fmt.Errorf("get %s: %w", t, err)
	}
	return nil
}

// localName turns the rest of a key into a file name below a folder, or says why that cannot be: a key may hold `..`,
// empty parts, or what this system's file names do not.
func localName(rel string) (string, error) {
	name, err := filepath.Localize(rel)
	if err != nil || name == "." {
		return "", fmt.Errorf("%q cannot be a file name here; get it by itself into a FILE of your choice", rel)
	}
	return name, nil
}
