package crash

import "testing"

func TestLedger(t *testing.T) {
	one, two := Value{Present: true, Seed: 1, Size: 10}, Value{Present: true, Seed: 2, Size: 10}
	tests := []struct {
		name    string
		ops     func(l *Ledger)
		present bool
		body    []byte
		lost    bool
	}{
		{"acknowledged and there", func(l *Ledger) { l.Begin("k", one); l.Acknowledge("k", one) }, true, one.Payload("k"), false},
		{"acknowledged and gone", func(l *Ledger) { l.Begin("k", one); l.Acknowledge("k", one) }, false, nil, true},
		{"acknowledged, old value shown", func(l *Ledger) {
			l.Begin("k", one)
			l.Acknowledge("k", one)
			l.Begin("k", two)
			l.Acknowledge("k", two)
		}, true, one.Payload("k"), true},
		{"unknown, new value", func(l *Ledger) { l.Begin("k", one) }, true, one.Payload("k"), false},
		{"unknown, nothing", func(l *Ledger) { l.Begin("k", one) }, false, nil, false},
		{"refused, but there", func(l *Ledger) { l.Begin("k", one); l.Refuse("k", one) }, true, one.Payload("k"), true},
		{"torn", func(l *Ledger) { l.Begin("k", one) }, true, append(one.Payload("k")[:9], 0), true},
		{"another key's bytes", func(l *Ledger) { l.Begin("k", one); l.Acknowledge("k", one) }, true, one.Payload("j"), true},
		{"deleted and back", func(l *Ledger) {
			l.Begin("k", one)
			l.Acknowledge("k", one)
			l.Begin("k", Value{})
			l.Acknowledge("k", Value{})
		}, true, one.Payload("k"), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := NewLedger()
			tt.ops(l)
			if err := l.Check("k", tt.present, tt.body); (err != nil) != tt.lost {
				t.Errorf("Check = %v, want lost %v", err, tt.lost)
			}
		})
	}
}

func TestLedgerHoldsTheStoreToWhatItShowed(t *testing.T) {
	l := NewLedger()
	v := Value{Present: true, Seed: 7, Size: 3}
	l.Begin("k", v)
	if err := l.Check("k", true, v.Payload("k")); err != nil {
		t.Fatal(err)
	}
	if err := l.Check("k", false, nil); err == nil {
		t.Error("a state that was shown may disappear")
	}
}
