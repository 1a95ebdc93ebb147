// Package crash keeps an account of what a store acknowledged and holds the store to it after it was killed.
package crash

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
)

// Value is one state that a key may have: absent, or bytes made from a seed.
type Value struct {
	Present bool
	Seed    uint64
	Size    int64
}

// Payload returns the bytes of a value: a header that names key and seed, then a stream made from the seed. Any
// mixture with other bytes is detectable.
func (v Value) Payload(key string) []byte {
	b := make([]byte, v.Size)
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], v.Seed)
	binary.LittleEndian.PutUint64(seed[8:], h.Sum64())
	_, _ = rand.NewChaCha8(seed).Read(b)
	return b
}

// Ledger knows, for each key, the states that an honest store may show. It lives outside the store's process.
type Ledger struct {
	mu   sync.Mutex
	keys map[string][]Value
	acks int64
}

// NewLedger returns an empty ledger: every key is absent.
func NewLedger() *Ledger { return &Ledger{keys: map[string][]Value{}} }

// Begin notes that an operation towards v is about to be sent: from now on v is possible.
func (l *Ledger) Begin(key string, v Value) {
	l.mu.Lock()
	defer l.mu.Unlock()
	possible, ok := l.keys[key]
	if !ok {
		possible = []Value{{}}
	}
	l.keys[key] = append(possible, v)
}

// Acknowledge notes that the store answered success for v: nothing else is possible any more. One client at a time
// may work on a key.
func (l *Ledger) Acknowledge(key string, v Value) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys[key] = []Value{v}
	l.acks++
}

// Refuse notes that the store answered with a refusal that promises that nothing happened.
func (l *Ledger) Refuse(key string, v Value) {
	l.mu.Lock()
	defer l.mu.Unlock()
	possible := l.keys[key]
	if i := slices.Index(possible, v); i >= 0 && len(possible) > 1 {
		l.keys[key] = slices.Delete(possible, i, i+1)
	}
}

// Acks is the number of acknowledged operations so far.
func (l *Ledger) Acks() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks
}

// Keys returns all keys ever touched, sorted.
func (l *Ledger) Keys() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.keys))
}

// Check compares what the store shows for key with what is possible, and remembers what it saw: a state, once
// shown, stays. It returns an error that says what was lost, if anything was.
func (l *Ledger) Check(key string, present bool, body []byte) error {
	l.mu.Lock()
	possible := slices.Clone(l.keys[key])
	l.mu.Unlock()
	for _, v := range possible {
		if v.Present != present || (present && v.Size != int64(len(body))) {
			continue
		}
		if !present || string(v.Payload(key)) == string(body) {
			l.mu.Lock()
			l.keys[key] = []Value{v}
			l.mu.Unlock()
			return nil
		}
	}
	if !present {
		return fmt.Errorf("key %q is gone; possible were %v", key, possible)
	}
	return fmt.Errorf("key %q holds %d bytes that nobody wrote there; possible were %v", key, len(body), possible)
}
