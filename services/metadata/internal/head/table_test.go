package head

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func testOptions() Options {
	return Options{WindowEntries: 1 << 10, WindowAge: time.Hour}.withDefaults()
}

// The layout in etcd, as a golden file: what is written today must be read for ever.
func TestLayoutGolden(t *testing.T) {
	var b strings.Builder
	row := func(key string, value []byte) { fmt.Fprintf(&b, "%q\n\t%x\n", key, value) }
	id := WriteID{0xa0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xaf}
	row(BucketKey("photos"), encodeValue(id, Put{Payload: []byte("bucket row")}))
	row(BucketIDKey(0xbeef), encodeValue(id, Put{Payload: []byte("photos")}))
	row(TenantKey("acme", "photos"), encodeValue(id, Put{}))
	row(VersionKey(0xbeef, "a/ü"), encodeValue(id, Put{Payload: []byte("version row"), Version: 0x0123456789abcdef}))
	row(VersionKey(0xbeef, "gone"), encodeValue(id, Put{Version: 0x0123456789abcdef, Dead: true}))
	row(FloorKey("w-1"), encodeValue(WriteID{}, Put{Payload: []byte{0, 0, 0, 0, 0, 0, 0, 5}}))
	for _, key := range []string{clockKey, compactKey, epochKey} {
		fmt.Fprintf(&b, "%q\n", key)
	}
	path := filepath.Join("testdata", "layout.golden")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("(-golden +now):\n%s", diff)
	}
}

// A floor's value compares as the number it holds.
func TestFloorValuesAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Uint64().Draw(t, "a"), rapid.Uint64().Draw(t, "b")
		encode := func(n uint64) string {
			return string(floorValue([]byte{
				byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n),
			}))
		}
		if (encode(a) < encode(b)) != (a < b) {
			t.Fatalf("%x and %x", a, b)
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	f.Add(encodeValue(WriteID{1}, Put{Payload: []byte("x"), Version: 7, Dead: true}))
	f.Add(make([]byte, valueHeader-1))
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := parseEntry("k", value, 1)
		if err != nil {
			return
		}
		r := e.row()
		again := encodeValue(r.ID, Put{Payload: r.Payload, Version: r.Version, Dead: r.Dead})
		if value[1]&^flagDead == 0 && string(again) != string(value) {
			t.Errorf("%x is read as %x", value, again)
		}
	})
}

// The table under any events is what a map would be, and its sizes add up.
func TestTableMatchesMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := newTable(testOptions())
		want := map[string]entry{}
		rev := int64(0)
		key := rapid.SampledFrom([]string{"m/o/1", "m/o/2", "m/o/3", "m/b/x"})
		put := func(dead bool) func(*rapid.T) {
			return func(t *rapid.T) {
				rev++
				k := key.Draw(t, "key")
				value := encodeValue(WriteID{byte(rev), byte(rev >> 8)}, Put{Payload: []byte(fmt.Sprint(rev)), Dead: dead})
				if err := tab.apply([]event{{key: k, put: value, mod: rev}}, rev); err != nil {
					t.Fatal(err)
				}
				want[k] = entry{key: k, value: value, mod: rev}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put":  put(false),
			"bury": put(true),
			"remove": func(t *rapid.T) {
				rev++
				k := key.Draw(t, "key")
				if err := tab.apply([]event{{key: k, mod: rev}}, rev); err != nil {
					t.Fatal(err)
				}
				delete(want, k)
			},
			"reload": func(*rapid.T) {
				var all []entry
				for _, e := range want {
					all = append(all, e)
				}
				tab.replace(all, 0, rev)
			},
			"": func(t *rapid.T) {
				var bytes int64
				live, dead := 0, 0
				tab.view(func(s *state) {
					for k, e := range want {
						got, ok := s.entry(k)
						if !ok || got.mod != e.mod || string(got.value) != string(e.value) {
							t.Fatalf("%q: %+v, %t; want %+v", k, got, ok, e)
						}
						bytes += e.bytes()
						if e.dead() {
							dead++
						} else {
							live++
						}
					}
				})
				sizes := tab.sizes()
				if sizes.live != live || sizes.dead != dead || sizes.bytes != bytes || sizes.applied != rev {
					t.Fatalf("%+v; want %d live, %d dead, %d bytes, revision %d", sizes, live, dead, bytes, rev)
				}
				if old := tab.expired(time.Now(), 100); len(old) != dead {
					t.Fatalf("%d expired, %d dead", len(old), dead)
				}
			},
		})
	})
}

// The window never says that it reaches back to a revision whose writes it has forgotten.
func TestWindowKnowsWhatItForgot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(0, 0)
		w := newWindow(10*time.Second, rapid.IntRange(1, 8).Draw(t, "entries"), now)
		type write struct {
			id  WriteID
			rev int64
		}
		var all []write
		rev := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				rev++
				for range rapid.IntRange(1, 3).Draw(t, "writes") {
					id := WriteID{byte(len(all)), byte(len(all) >> 8), 1}
					w.add(entry{key: "k", value: encodeValue(id, Put{Version: uint64(rev)}), mod: rev}, now)
					all = append(all, write{id, rev})
				}
				w.trim(now)
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 8).Draw(t, "seconds")) * time.Second)
				w.trim(now)
			},
			"reload": func(*rapid.T) { w.reset(rev) },
			"": func(t *rapid.T) {
				for since := range rev + 1 {
					if !w.reaches(since) {
						continue
					}
					for _, x := range all {
						if x.rev <= since {
							continue
						}
						if got, ok := w.find("k", x.id); !ok || got.rev != x.rev || got.version != uint64(x.rev) {
							t.Fatalf("reaches back to %d and has %+v, %t of the write at %d", since, got, ok, x.rev)
						}
					}
				}
				if len(w.log)-w.head > w.max || len(w.seen) > w.max {
					t.Fatalf("%d entries logged, %d seen, at most %d", len(w.log)-w.head, len(w.seen), w.max)
				}
			},
		})
	})
}

func TestGateOpensInOrder(t *testing.T) {
	g := &gate{}
	passed := make(chan int64, 3)
	for _, rev := range []int64{3, 1, 2} {
		go func() {
			if err := g.wait(t.Context(), rev); err == nil {
				passed <- rev
			}
		}()
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.wait(gone, 4); err == nil {
		t.Error("a caller that has left passed")
	}
	for rev := range int64(3) {
		g.advance(rev + 1)
		if got := <-passed; got != rev+1 {
			t.Fatalf("at %d passed %d", rev+1, got)
		}
	}
	g.advance(2) // never closes again
	if err := g.wait(t.Context(), 3); err != nil {
		t.Error(err)
	}
	if len(g.waiting) != 0 {
		t.Errorf("%d still wait", len(g.waiting))
	}
}
