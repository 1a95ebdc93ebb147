package headtest

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/drystone-store/drystone/services/metadata/internal/head"
)

// ID makes a fresh write id.
func ID() head.WriteID {
	var id head.WriteID
	binary.NativeEndian.PutUint64(id[:8], rand.Uint64()|1)
	binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	return id
}

// key is an object row of bucket 7.
func key(name string) string { return head.VersionKey(7, name) }

// put is a write without conditions.
func put(k, payload string) head.Write {
	return head.Write{Key: k, ID: ID(), Plan: func(v head.View) (head.Plan, error) {
		row, _ := v.Get(k)
		return head.Plan{Puts: []head.Put{{Key: k, Payload: []byte(payload), Version: row.Version + 1}}}, nil
	}}
}

// remove puts a tombstone.
func remove(k string) head.Write {
	return head.Write{Key: k, ID: ID(), Plan: func(v head.View) (head.Plan, error) {
		row, ok := v.Get(k)
		if !ok || row.Dead {
			return head.Plan{}, nil
		}
		return head.Plan{Puts: []head.Put{{Key: k, Version: row.Version + 1, Dead: true}}}, nil
	}}
}

// must commits writes that have to apply.
func must(t *testing.T, ix head.Index, writes ...head.Write) []head.Result {
	t.Helper()
	results := ix.Commit(t.Context(), writes)
	for i, w := range writes {
		if err := results[i].Err; err != nil {
			t.Fatalf("write %d of %q: %v", i, w.Key, err)
		}
	}
	return results
}

// get reads a row behind a barrier.
func get(t *testing.T, ix head.Index, k string) (row head.Row, ok bool) {
	t.Helper()
	err := ix.Read(t.Context(), func(v head.View) error {
		row, ok = v.Get(k)
		return nil
	})
	if err != nil {
		t.Fatalf("read %q: %v", k, err)
	}
	return row, ok
}

// catchUp lets every replica see what was answered so far.
func catchUp(t *testing.T, f Fixture) {
	t.Helper()
	for _, ix := range f.Replicas {
		if err := ix.Read(t.Context(), func(head.View) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

// list reads the live keys of a range behind a barrier.
func list(t *testing.T, ix head.Index, from, to string) (keys []string) {
	t.Helper()
	err := ix.Read(t.Context(), func(v head.View) error {
		v.Scan(from, to, func(r head.Row) (string, bool) {
			keys = append(keys, r.Key)
			return "", false
		})
		return nil
	})
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	return keys
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func parse(payload []byte) uint64 {
	if len(payload) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(payload)
}
