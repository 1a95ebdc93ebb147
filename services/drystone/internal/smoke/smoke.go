// Package smoke tries a store from outside: it stores objects, reads, lists and removes them, and compares.
//
// Constraints:
//
//  1. It touches nothing that it has not made itself: keys carry a random prefix, and a bucket that was there stays.
//  2. It leaves nothing behind, unless the store refuses to remove it; then it says what.
//  3. It needs no memory for objects, however large.
package smoke

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	"github.com/drystone-store/drystone/services/drystone/internal/client"
	"github.com/drystone-store/drystone/services/kit/clock"
)

const (
	// smallSize is what is packed with other objects, a size that no other is.
	smallSize = 1000
	// rangeSize bounds the range that is read of each object.
	rangeSize = 64 << 10
	// cleanupTimeout bounds the removal of what a try that failed has stored.
	cleanupTimeout = 30 * time.Second
	// nameLength of the random part of names: 60 bits.
	nameLength = 12
)

// Options say what to try.
type Options struct {
	// Bucket is empty for one of its own.
	Bucket string
	// Size of the large objects in bytes.
	Size int64
	// Objects is how many are stored: small and large ones by turns, beginning with a small one.
	Objects int
}

// Step is one thing that was tried.
type Step struct {
	Name   string
	Target string
	Bytes  int64
	Took   time.Duration
	// Err is nil when it was as it should be.
	Err error
}

// object is one that is stored.
type object struct {
	key     string
	content pattern
}

// run is one try.
type run struct {
	client  *client.Client
	report  func(Step) error
	bucket  string
	prefix  string
	objects []object
	// made: the bucket is this run's.
	made bool
	// begun is how many objects may be there.
	begun int
}

// Run tries everything in order and reports each step; it ends after the first that fails, with what went wrong.
func Run(ctx context.Context, c *client.Client, o Options, report func(Step) error) error {
	id := strings.ToLower(rand.Text()[:nameLength])
	r := &run{client: c, report: report, bucket: o.Bucket, prefix: "smoke-" + id + "/"}
	if r.bucket == "" {
		r.bucket = "smoke-" + id
	}
	for i := range o.Objects {
		content := pattern{size: smallSize}
		if i%2 == 1 {
			content.size = o.Size
		}
		_, _ = rand.Read(content.seed[:]) // It never fails.
		r.objects = append(r.objects, object{key: r.prefix + strconv.Itoa(i+1), content: content})
	}
	err := r.all(ctx)
	if err == nil {
		return nil
	}
	return errors.Join(err, r.cleanUp(ctx))
}

func (r *run) all(ctx context.Context) error {
	for _, f := range []func(context.Context) error{r.makeBucket, r.put, r.get, r.ranges, r.list, r.remove, r.removeBucket} {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step does one thing, takes its time, and reports it.
func (r *run) step(name, target string, bytes int64, do func() error) error {
	begun := clock.Now()
	err := do()
	if err != nil {
		err = fmt.Errorf("%s %s: %w", name, target, err)
	}
	return errors.Join(err, r.report(Step{Name: name, Target: target, Bytes: bytes, Took: clock.Since(begun), Err: err}))
}

// each does one thing with each object.
func (r *run) each(name string, bytes func(object) int64, do func(object) error) error {
	for _, o := range r.objects {
		if err := r.step(name, r.bucket+"/"+o.key, bytes(o), func() error { return do(o) }); err != nil {
			return err
		}
	}
	return nil
}

func whole(o object) int64 { return o.content.size }

func none(object) int64 { return 0 }

func (r *run) makeBucket(ctx context.Context) error {
	return r.step("make bucket", r.bucket, 0, func() error {
		_, err := r.client.Bucket(ctx, r.bucket)
		if err == nil {
			return nil
		}
		if !client.IsAbsent(err) {
			return err
		}
		_, err = r.client.CreateBucket(ctx, r.bucket, "")
		// Without an answer it may be there.
		var refused *client.Error
		r.made = !errors.As(err, &refused) || refused.Status >= http.StatusInternalServerError
		return err
	})
}

func (r *run) put(ctx context.Context) error {
	return r.each("put", whole, func(o object) error {
		r.begun++
		_, err := r.client.Put(ctx, client.Upload{
			Bucket: r.bucket, Key: o.key, ContentType: "application/octet-stream",
			Metadata: map[string]string{"smoke": r.prefix},
			Body:     o.content.reader(0, o.content.size), Size: o.content.size,
		})
		return err
	})
}

func (r *run) get(ctx context.Context) error {
	return r.each("get", whole, func(o object) error {
		got, err := r.client.Get(ctx, client.Download{Bucket: r.bucket, Key: o.key}, &comparer{want: o.content.reader(0, o.content.size)})
		if err != nil {
			return err
		}
		return o.describedBy(got, r.prefix)
	})
}

// describedBy holds what the store says of an object against what was stored.
func (o object) describedBy(got *apiv1.Object, metadata string) error {
	switch {
	case got.GetSize() != o.content.size:
		return fmt.Errorf("it has %d bytes, %d were stored", got.GetSize(), o.content.size)
	case got.GetMetadata()["smoke"] != metadata:
		return fmt.Errorf("its metadata are %v", got.GetMetadata())
	}
	return nil
}

// span is the range that is read of an object: across the middle, where a large one goes from block to block.
func (o object) span() (offset, length int64) {
	length = min(rangeSize, (o.content.size+1)/2)
	return (o.content.size - length) / 2, length
}

func (r *run) ranges(ctx context.Context) error {
	bytes := func(o object) int64 { _, length := o.span(); return length }
	return r.each("get range", bytes, func(o object) error {
		offset, length := o.span()
		if length == 0 {
			return nil
		}
		return r.client.GetRange(ctx, r.bucket, o.key, offset, length, &comparer{want: o.content.reader(offset, length), at: offset})
	})
}

func (r *run) list(ctx context.Context) error {
	return r.step("list", r.bucket+"/"+r.prefix, 0, func() error {
		missing := map[string]object{}
		for _, o := range r.objects {
			missing[o.key] = o
		}
		for e, err := range r.listed(ctx) {
			if err != nil {
				return err
			}
			o, ok := missing[e.Object.GetKey()]
			switch {
			case !ok:
				return fmt.Errorf("%q is listed, and was not stored, or is listed twice", e.Object.GetKey())
			case e.Object.GetSize() != o.content.size:
				return fmt.Errorf("%s is listed with %d bytes, %d were stored", o.key, e.Object.GetSize(), o.content.size)
			}
			delete(missing, o.key)
		}
		if len(missing) > 0 {
			return fmt.Errorf("%d of %d objects are not listed", len(missing), len(r.objects))
		}
		return nil
	})
}

func (r *run) listed(ctx context.Context) iter.Seq2[client.Entry, error] {
	return r.client.List(ctx, r.bucket, client.ListOptions{Prefix: r.prefix})
}

func (r *run) remove(ctx context.Context) error {
	return r.each("delete", none, func(o object) error {
		if err := r.client.Delete(ctx, r.bucket, o.key); err != nil {
			return err
		}
		switch _, err := r.client.Stat(ctx, r.bucket, o.key, ""); {
		case err == nil:
			return errors.New("it is still there")
		case !client.IsAbsent(err):
			return err
		}
		return nil
	})
}

func (r *run) removeBucket(ctx context.Context) error {
	if !r.made {
		return nil
	}
	return r.step("remove bucket", r.bucket, 0, func() error { return r.client.DeleteBucket(ctx, r.bucket) })
}

// cleanUp removes what a try that failed has stored, also when it was interrupted.
func (r *run) cleanUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	for _, o := range r.objects[:r.begun] {
		if err := r.client.Delete(ctx, r.bucket, o.key); err != nil && !client.IsAbsent(err) {
			return fmt.Errorf("objects may be left in %s/%s: %w", r.bucket, r.prefix, err)
		}
	}
	if !r.made {
		return nil
	}
	if err := r.client.DeleteBucket(ctx, r.bucket); err != nil && !client.IsAbsent(err) {
		return fmt.Errorf("the bucket %s may be left: %w", r.bucket, err)
	}
	return nil
}
