package headtest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

func readsSeeAnswers(t *testing.T, mk Maker) {
	f := mk(t, head.Options{})
	for i := range 30 {
		writer := f.Replicas[i%len(f.Replicas)]
		want := fmt.Sprint("payload ", i)
		w := put(key("k"), want)
		r := must(t, writer, w)[0]
		for n, reader := range f.Replicas {
			row, ok := get(t, reader, key("k"))
			if !ok || string(row.Payload) != want || row.ID != w.ID || row.Mod != r.Revision || row.Version != r.Version {
				t.Fatalf("replica %d after write %d: row %+v, %t; result %+v", n, i, row, ok, r)
			}
		}
	}
}

func scansSeeAnswers(t *testing.T, mk Maker) {
	f := mk(t, head.Options{})
	from, to := head.VersionRange(7)
	var want []string
	for i := range 30 {
		k := key(fmt.Sprintf("%02d", i))
		must(t, f.Replicas[i%len(f.Replicas)], put(k, "x"))
		if want = append(want, k); i%3 == 2 { // every third is removed again
			must(t, f.Replicas[(i+1)%len(f.Replicas)], remove(want[0]))
			want = want[1:]
		}
		for _, reader := range f.Replicas {
			if diff := cmp.Diff(want, list(t, reader, from, to)); diff != "" {
				t.Fatalf("after write %d (-want +got):\n%s", i, diff)
			}
		}
	}
}

// transactionsAreWhole has writers that put the same number in two rows, and readers that must never see two numbers.
func transactionsAreWhole(t *testing.T, mk Maker) {
	f := mk(t, head.Options{})
	const writes = 50
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for _, ix := range f.Replicas {
		writers.Go(func() {
			for range writes {
				res := ix.Commit(t.Context(), []head.Write{{Key: key("a"), ID: ID(), Plan: func(v head.View) (head.Plan, error) {
					row, _ := v.Get(key("a"))
					n := number(parse(row.Payload) + 1)
					return head.Plan{Puts: []head.Put{{Key: key("a"), Payload: n}, {Key: key("b"), Payload: n}}}, nil
				}}})
				if res[0].Err != nil {
					t.Errorf("write: %v", res[0].Err)
					return
				}
			}
		})
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := ix.Read(t.Context(), func(v head.View) error {
					a, _ := v.Get(key("a"))
					b, _ := v.Get(key("b"))
					if string(a.Payload) != string(b.Payload) || a.Mod != b.Mod {
						return fmt.Errorf("half a transaction: %d and %d", parse(a.Payload), parse(b.Payload))
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	if row, _ := get(t, f.Replicas[0], key("a")); parse(row.Payload) != uint64(writes*len(f.Replicas)) {
		t.Fatalf("counted %d, want %d", parse(row.Payload), writes*len(f.Replicas))
	}
}

func scanBounds(t *testing.T, mk Maker) {
	ix := mk(t, head.Options{}).Replicas[0]
	var writes []head.Write
	for _, name := range []string{"a", "a\x00", "a/1", "a/2", "a/3", "b", "\xff"} {
		writes = append(writes, put(key(name), name))
	}
	writes = append(writes, put(head.VersionKey(6, "z"), "other bucket"), put(head.VersionKey(8, "a"), "other bucket"))
	must(t, ix, writes...)
	must(t, ix, remove(key("a/2")))
	from, to := head.VersionRange(7)
	collect := func(from string, visit func(name string) (string, bool)) (names []string) {
		err := ix.Read(t.Context(), func(v head.View) error {
			v.Scan(from, to, func(r head.Row) (string, bool) {
				name := r.Key[len(key("")):]
				names = append(names, name)
				return visit(name)
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	next := func(string) (string, bool) { return "", false }
	for _, c := range []struct {
		name  string
		from  string
		visit func(string) (string, bool)
		want  []string
	}{
		{"all live rows of the bucket", from, next, []string{"a", "a\x00", "a/1", "a/3", "b", "\xff"}},
		{"from a row", key("a/1"), next, []string{"a/1", "a/3", "b", "\xff"}},
		{"from between rows", key("a/2"), next, []string{"a/3", "b", "\xff"}},
		{"stop", from, func(n string) (string, bool) { return "", n == "a/1" }, []string{"a", "a\x00", "a/1"}},
		{"seek past a prefix", from, func(n string) (string, bool) {
			if n == "a/1" {
				return key("a0"), false
			}
			return "", false
		}, []string{"a", "a\x00", "a/1", "b", "\xff"}},
		{"seek past the end", from, func(string) (string, bool) { return to, false }, []string{"a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, collect(c.from, c.visit)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	sentinel := errors.New("from use")
	if err := ix.Read(t.Context(), func(head.View) error { return sentinel }); !errors.Is(err, sentinel) {
		t.Errorf("read returned %v", err)
	}
}
