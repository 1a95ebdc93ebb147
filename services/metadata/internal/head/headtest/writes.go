package headtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/fault"
	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

func noUpdateIsLost(t *testing.T, mk Maker) {
	f := mk(t, head.Options{})
	const writers, each = 8, 20
	increment := func() head.Write {
		return head.Write{Key: key("n"), ID: ID(), Plan: func(v head.View) (head.Plan, error) {
			row, _ := v.Get(key("n"))
			return head.Plan{Puts: []head.Put{{Key: key("n"), Payload: number(parse(row.Payload) + 1)}}}, nil
		}}
	}
	var g sync.WaitGroup
	for w := range writers {
		g.Go(func() {
			for range each {
				if r := f.Replicas[w%len(f.Replicas)].Commit(t.Context(), []head.Write{increment()}); r[0].Err != nil {
					t.Errorf("increment: %v", r[0].Err)
				}
			}
		})
	}
	g.Wait()
	if row, _ := get(t, f.Replicas[0], key("n")); parse(row.Payload) != writers*each {
		t.Fatalf("counted %d of %d", parse(row.Payload), writers*each)
	}
}

// guardsHold: a thing may be put only while its switch is on; once the switch is off and that is answered, none is put.
func guardsHold(t *testing.T, mk Maker) {
	f := mk(t, head.Options{})
	must(t, f.Replicas[0], put(key("switch"), "on"))
	errOff := errors.New("the switch is off")
	var off atomic.Int64
	var g sync.WaitGroup
	for w := range 4 {
		ix := f.Replicas[w%len(f.Replicas)]
		g.Go(func() {
			for i := 0; ; i++ {
				k := key(fmt.Sprintf("thing %d %d", w, i))
				r := ix.Commit(t.Context(), []head.Write{{Key: k, ID: ID(), Plan: func(v head.View) (head.Plan, error) {
					if row, _ := v.Get(key("switch")); string(row.Payload) != "on" {
						return head.Plan{}, errOff
					}
					return head.Plan{Puts: []head.Put{{Key: k}}, Guards: []head.Guard{{Key: key("switch")}}}, nil
				}}})[0]
				if errors.Is(r.Err, errOff) {
					return
				}
				if r.Err != nil {
					t.Errorf("put: %v", r.Err)
					return
				}
				if at := off.Load(); at != 0 && r.Revision > at {
					t.Errorf("a thing was put at %d, the switch was off at %d", r.Revision, at)
					return
				}
			}
		})
	}
	off.Store(must(t, f.Replicas[len(f.Replicas)-1], put(key("switch"), "off"))[0].Revision)
	g.Wait()
}

// floorsHold: writes under term 5 pass a floor that is absent or at most 5; after it is 6 none does.
func floorsHold(t *testing.T, mk Maker) {
	f := mk(t, head.Options{})
	const term = 5
	floor := head.FloorKey("w")
	raise := func(ix head.Index, to uint64) int64 {
		return must(t, ix, head.Write{Key: floor, Plan: func(v head.View) (head.Plan, error) {
			return head.Plan{Puts: []head.Put{{Key: floor, Payload: number(to)}}}, nil
		}})[0].Revision
	}
	errFenced := errors.New("fenced")
	write := func(k string) head.Write {
		return head.Write{Key: k, ID: ID(), Plan: func(v head.View) (head.Plan, error) {
			if row, _ := v.Get(floor); parse(row.Payload) > term {
				return head.Plan{}, errFenced
			}
			return head.Plan{Puts: []head.Put{{Key: k}}, Guards: []head.Guard{{Key: floor, Below: number(term + 1)}}}, nil
		}}
	}
	last := f.Replicas[len(f.Replicas)-1]
	must(t, f.Replicas[0], write(key("before")))
	raise(last, 3)
	must(t, f.Replicas[0], write(key("above 3")))
	raise(last, term)
	must(t, f.Replicas[0], write(key("at the floor")))

	var fenced atomic.Int64
	var g sync.WaitGroup
	for w := range 4 {
		g.Go(func() {
			for i := 0; ; i++ {
				r := f.Replicas[w%len(f.Replicas)].Commit(t.Context(), []head.Write{write(key(fmt.Sprint(w, i)))})[0]
				if r.Err != nil {
					if !errors.Is(r.Err, errFenced) {
						t.Error(r.Err)
					}
					return
				}
				if at := fenced.Load(); at != 0 && r.Revision > at {
					t.Errorf("applied at %d, fenced at %d", r.Revision, at)
					return
				}
			}
		})
	}
	fenced.Store(raise(last, term+1))
	g.Wait()
}

func appliesOnce(t *testing.T, mk Maker) {
	f := mk(t, head.Options{})
	first, last := f.Replicas[0], f.Replicas[len(f.Replicas)-1]
	w := put(key("k"), "mine")
	w.Since = must(t, first, put(key("k"), "before"))[0].Revision
	want := must(t, first, w)[0]
	for n, ix := range f.Replicas {
		if got := must(t, ix, w)[0]; got != want {
			t.Errorf("replica %d, current: %+v, want %+v", n, got, want)
		}
	}
	must(t, last, put(key("k"), "later"))
	catchUp(t, f)
	for n, ix := range f.Replicas {
		if got := must(t, ix, w)[0]; got != want {
			t.Errorf("replica %d, overwritten: %+v, want %+v", n, got, want)
		}
		if row, _ := get(t, ix, key("k")); string(row.Payload) != "later" {
			t.Errorf("replica %d: the old write is back: %q", n, row.Payload)
		}
	}
	other := w
	other.Key = key("other") // the same id elsewhere is another write
	other.Plan = put(key("other"), "x").Plan
	if got := must(t, first, other)[0]; got == want {
		t.Error("a write of another row was taken for this one")
	}
}

func deletesOnce(t *testing.T, mk Maker) {
	f := mk(t, head.Options{})
	ix := f.Replicas[0]
	w := remove(key("k"))
	w.Since = must(t, ix, put(key("k"), "1"))[0].Revision
	want := must(t, ix, w)[0]
	must(t, ix, put(key("k"), "2"))
	catchUp(t, f)
	for n, ix := range f.Replicas {
		if got := must(t, ix, w)[0]; got != want {
			t.Errorf("replica %d: %+v, want %+v", n, got, want)
		}
		if row, ok := get(t, ix, key("k")); !ok || row.Dead {
			t.Errorf("replica %d: the object that came later was removed", n)
		}
	}
}

func forgottenIsUnknown(t *testing.T, mk Maker) {
	f := mk(t, head.Options{WindowEntries: 10})
	ix := f.Replicas[0]
	since := must(t, ix, put(key("k"), "before"))[0].Revision
	w := put(key("k"), "mine")
	w.Since = since
	must(t, ix, w)
	must(t, ix, put(key("k"), "later"))
	for i := range 20 {
		must(t, ix, put(key(fmt.Sprint("filler", i)), ""))
	}
	catchUp(t, f)
	for n, ix := range f.Replicas {
		r := ix.Commit(t.Context(), []head.Write{w})[0]
		if !fault.Is(r.Err, typesv1.Reason_REASON_OUTCOME_UNKNOWN) {
			t.Errorf("replica %d: %+v", n, r)
		}
		if row, _ := get(t, ix, key("k")); string(row.Payload) != "later" {
			t.Errorf("replica %d: it applied: %q", n, row.Payload)
		}
	}
}

func untouchedIsKnown(t *testing.T, mk Maker) {
	f := mk(t, head.Options{WindowEntries: 10})
	ix := f.Replicas[0]
	since := must(t, ix, put(key("k"), "before"))[0].Revision
	for i := range 20 {
		must(t, ix, put(key(fmt.Sprint("filler", i)), ""))
	}
	for name, k := range map[string]string{"present": key("k"), "absent": key("fresh")} {
		w := put(k, "mine")
		w.Since = since
		if r := ix.Commit(t.Context(), []head.Write{w})[0]; r.Err != nil {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
}

func purgedRows(t *testing.T, mk Maker) {
	f := mk(t, head.Options{WindowEntries: 4})
	ix := f.Replicas[0]
	since := must(t, ix, put(key("gone"), "1"))[0].Revision
	late := put(key("gone"), "late") // its first try may have applied for all that a replica without memory knows
	late.Since = since
	must(t, ix, remove(key("gone")))
	must(t, ix, put(key("again"), "1"))
	must(t, ix, remove(key("again")))
	must(t, ix, put(key("again"), "2"))
	catchUp(t, f)
	total := 0
	for {
		n, err := f.Purge(t.Context(), clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		if total += n; n == 0 {
			break
		}
	}
	if total != 1 {
		t.Errorf("purged %d tombstones, want 1", total)
	}
	for i := range 8 {
		must(t, ix, put(key(fmt.Sprint("filler", i)), ""))
	}
	for n, ix := range f.Replicas {
		if row, ok := get(t, ix, key("gone")); ok {
			t.Errorf("replica %d: still there: %+v", n, row)
		}
		if row, ok := get(t, ix, key("again")); !ok || row.Dead {
			t.Errorf("replica %d: a live row was purged", n)
		}
		if r := ix.Commit(t.Context(), []head.Write{late}); !fault.Is(r[0].Err, typesv1.Reason_REASON_OUTCOME_UNKNOWN) {
			t.Errorf("replica %d: a try from before the purge: %+v", n, r[0])
		}
	}
	must(t, ix, put(key("gone"), "new"))
}

func refusals(t *testing.T, mk Maker) {
	f := mk(t, head.Options{})
	errNo := errors.New("no")
	for n, ix := range f.Replicas {
		before := must(t, ix, put(key("k"), "1"))[0].Revision
		results := ix.Commit(t.Context(), []head.Write{
			{Key: key("k"), ID: ID(), Plan: func(head.View) (head.Plan, error) { return head.Plan{}, errNo }},
			{Key: key("k"), ID: ID(), Plan: func(head.View) (head.Plan, error) { return head.Plan{}, nil }},
			put(key("other"), "1"),
		})
		if !errors.Is(results[0].Err, errNo) {
			t.Errorf("replica %d: refused with %v", n, results[0].Err)
		}
		if results[1].Err != nil || results[1].Revision < before {
			t.Errorf("replica %d: nothing to change: %+v, last write at %d", n, results[1], before)
		}
		if results[2].Err != nil {
			t.Errorf("replica %d: a refusal took another write along: %v", n, results[2].Err)
		}
		if row, _ := get(t, ix, key("k")); row.Mod != before {
			t.Errorf("replica %d: the row changed at %d", n, row.Mod)
		}
	}
	// A refusal must rest on what others have answered: the first replica makes the row, the last refuses if it is not
	// there.
	first, last := f.Replicas[0], f.Replicas[len(f.Replicas)-1]
	for i := range 30 {
		k := key(fmt.Sprint("made", i))
		must(t, first, put(k, ""))
		must(t, last, head.Write{Key: k, ID: ID(), Plan: func(v head.View) (head.Plan, error) {
			if _, ok := v.Get(k); !ok {
				return head.Plan{}, errNo
			}
			return head.Plan{}, nil
		}})
	}
}

func leftCaller(t *testing.T, mk Maker) {
	ix := mk(t, head.Options{}).Replicas[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := ix.Commit(ctx, []head.Write{put(key("k"), "late")}); r[0].Err == nil {
		t.Error("a write was answered to nobody")
	}
	if err := ix.Read(ctx, func(head.View) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	must(t, ix, put(key("other"), "")) // passes what the caller left behind
	if _, ok := get(t, ix, key("k")); ok {
		t.Error("the write applied")
	}
}

func sameKeyInOneCall(t *testing.T, mk Maker) {
	ix := mk(t, head.Options{}).Replicas[0]
	var seen []string
	var mu sync.Mutex
	var writes []head.Write
	for i := range 10 {
		w := put(key("k"), strconv.Itoa(i))
		plan := w.Plan
		w.Plan = func(v head.View) (head.Plan, error) {
			row, _ := v.Get(key("k"))
			mu.Lock()
			seen = append(seen, string(row.Payload))
			mu.Unlock()
			return plan(v)
		}
		writes = append(writes, w)
	}
	results := must(t, ix, writes...)
	for i := 1; i < len(results); i++ {
		if results[i].Revision <= results[i-1].Revision || results[i].Version <= results[i-1].Version {
			t.Errorf("write %d: %+v after %+v", i, results[i], results[i-1])
		}
	}
	if diff := cmp.Diff([]string{"", "0", "1", "2", "3", "4", "5", "6", "7", "8"}, seen); diff != "" {
		t.Errorf("what the plans saw (-want +got):\n%s", diff)
	}
}

func manyWrites(t *testing.T, mk Maker) {
	f := mk(t, head.Options{})
	var writes []head.Write
	for i := range 1024 {
		writes = append(writes, put(key(fmt.Sprintf("%04d", i)), "x"))
	}
	must(t, f.Replicas[0], writes...)
	from, to := head.VersionRange(7)
	if got := len(list(t, f.Replicas[len(f.Replicas)-1], from, to)); got != 1024 {
		t.Fatalf("%d rows", got)
	}
}

func manyBytes(t *testing.T, mk Maker) {
	f := mk(t, head.Options{})
	var writes []head.Write
	for i := range 60 {
		writes = append(writes, put(key(fmt.Sprintf("%04d", i)), string(bytes.Repeat([]byte{byte(i)}, 64<<10))))
	}
	must(t, f.Replicas[0], writes...)
	row, ok := get(t, f.Replicas[len(f.Replicas)-1], key("0059"))
	if !ok || len(row.Payload) != 64<<10 || row.Payload[0] != 59 {
		t.Fatal("the last row is not what was put")
	}
}

// sharedRow: writes of different keys that also change one common row must not meet in a transaction.
func sharedRow(t *testing.T, mk Maker) {
	f := mk(t, head.Options{})
	var writes []head.Write
	for i := range 20 {
		k := key(fmt.Sprint("k", i))
		writes = append(writes, head.Write{Key: k, ID: ID(), Plan: func(v head.View) (head.Plan, error) {
			row, _ := v.Get(key("sum"))
			return head.Plan{Puts: []head.Put{{Key: k}, {Key: key("sum"), Payload: number(parse(row.Payload) + 1)}}}, nil
		}})
	}
	must(t, f.Replicas[0], writes...)
	if row, _ := get(t, f.Replicas[len(f.Replicas)-1], key("sum")); parse(row.Payload) != 20 {
		t.Fatalf("sum = %d", parse(row.Payload))
	}
	drop := head.Write{Key: key("k0"), ID: ID(), Plan: func(v head.View) (head.Plan, error) {
		return head.Plan{Drops: []string{key("k0"), key("sum")}}, nil
	}}
	must(t, f.Replicas[0], drop)
	for _, k := range []string{"k0", "sum"} {
		if _, ok := get(t, f.Replicas[len(f.Replicas)-1], key(k)); ok {
			t.Errorf("%s was dropped and is there", k)
		}
	}
}
