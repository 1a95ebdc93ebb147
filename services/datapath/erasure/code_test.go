package erasure_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/drystone-store/drystone/services/datapath/erasure"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// random fills n columns of size bytes: data from a seed, parity with dirt that Encode has to overwrite.
func random(s erasure.Scheme, size int, seed uint64) [][]byte {
	source := rand.NewChaCha8([32]byte{byte(s.K), byte(s.M), byte(seed), byte(seed >> 8)})
	columns := make([][]byte, s.N())
	for c := range columns {
		columns[c] = make([]byte, size)
		_, _ = source.Read(columns[c])
	}
	return columns
}

func encoded(tb testing.TB, s erasure.Scheme, size int, seed uint64) (*erasure.Code, [][]byte) {
	tb.Helper()
	code, err := erasure.NewCode(s)
	if err != nil {
		tb.Fatal(err)
	}
	columns := random(s, size, seed)
	if err := code.Encode(columns); err != nil {
		tb.Fatal(err)
	}
	return code, columns
}

// TestGolden pins the matrix: bytes on disk would be lost if a new version of the library changed it. The input is
// column c, byte i = (31·c + 7·i + i²) mod 256, so that anybody can make it again.
func TestGolden(t *testing.T) {
	for _, text := range []string{"rs-4-2", "rs-5-4", "rs-8-4"} {
		t.Run(text, func(t *testing.T) {
			s, err := erasure.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			code, err := erasure.NewCode(s)
			if err != nil {
				t.Fatal(err)
			}
			columns := make([][]byte, s.N())
			for c := range columns {
				columns[c] = make([]byte, 96)
				for i := range columns[c] {
					columns[c][i] = byte(31*c + 7*i + i*i)
				}
			}
			if err := code.Encode(columns); err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			for _, parity := range columns[s.K:] {
				fmt.Fprintf(&got, "%x\n", parity)
			}
			path := filepath.Join("testdata", text+".golden")
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("parity changed (-want +got):\n%s", diff)
			}
		})
	}
}

// losses calls f with every set of 1 to most of n columns.
func losses(n, most int, f func(lost []int)) {
	var walk func(from int, lost []int)
	walk = func(from int, lost []int) {
		if len(lost) > 0 {
			f(lost)
		}
		if len(lost) == most {
			return
		}
		for c := from; c < n; c++ {
			walk(c+1, append(lost, c))
		}
	}
	walk(0, make([]int, 0, most))
}

// TestEveryLoss decodes every pattern of up to m lost columns of every scheme with up to nine columns, and of rs-8-4.
// The size is odd, so that the vector code and the code for the rest both run.
func TestEveryLoss(t *testing.T) {
	const size = 97
	schemes := []erasure.Scheme{{K: 8, M: 4}}
	for k := 1; k <= 8; k++ {
		for m := 1; k+m <= 9; m++ {
			schemes = append(schemes, erasure.Scheme{K: k, M: m})
		}
	}
	for _, s := range schemes {
		t.Run(s.String(), func(t *testing.T) {
			code, columns := encoded(t, s, size, 0)
			losses(s.N(), s.M, func(lost []int) {
				partial := append([][]byte(nil), columns...)
				for _, c := range lost {
					partial[c] = nil
				}
				if err := code.Reconstruct(partial, lost); err != nil {
					t.Fatalf("lost %v: %v", lost, err)
				}
				for _, c := range lost {
					if !bytes.Equal(partial[c], columns[c]) {
						t.Fatalf("lost %v: column %d came back wrong", lost, c)
					}
				}
			})
		})
	}
}

func TestReconstructTouchesOnlyWhatIsWanted(t *testing.T) {
	s := erasure.Scheme{K: 5, M: 4}
	code, columns := encoded(t, s, 1000, 1)
	partial := append([][]byte(nil), columns...)
	dirty := bytes.Repeat([]byte{0xaa}, 1000)
	partial[1], partial[3], partial[7] = nil, dirty[:0], nil
	if err := code.Reconstruct(partial, []int{3}); err != nil {
		t.Fatal(err)
	}
	if partial[1] != nil || partial[7] != nil {
		t.Error("a column that nobody wanted was made")
	}
	if &partial[3][0] != &dirty[0] {
		t.Error("the buffer handed in was not used")
	}
	if !bytes.Equal(partial[3], columns[3]) {
		t.Error("a dirty buffer gave a wrong column")
	}
}

func TestReconstructOfPresentColumnLeavesIt(t *testing.T) {
	code, columns := encoded(t, erasure.Scheme{K: 2, M: 1}, 10, 2)
	before := append([]byte(nil), columns[0]...)
	if err := code.Reconstruct(columns, []int{0, 1, 2}); err != nil || !bytes.Equal(columns[0], before) {
		t.Fatalf("err %v, column changed: %v", err, !bytes.Equal(columns[0], before))
	}
}

func TestShapes(t *testing.T) {
	s := erasure.Scheme{K: 3, M: 2}
	code, columns := encoded(t, s, 8, 3)
	ragged := append([][]byte(nil), columns...)
	ragged[4] = ragged[4][:7]
	few := [][]byte{columns[0], nil, nil, columns[3], nil}
	cases := map[string]struct {
		got  error
		want error
	}{
		"encode: too few columns":        {code.Encode(columns[:4]), erasure.ErrShape},
		"encode: ragged":                 {code.Encode(ragged), erasure.ErrShape},
		"encode: nothing":                {code.Encode(make([][]byte, 5)), nil},
		"reconstruct: too many columns":  {code.Reconstruct(append(columns[:5:5], nil), nil), erasure.ErrShape},
		"reconstruct: ragged":            {code.Reconstruct(ragged, []int{0}), erasure.ErrShape},
		"reconstruct: wants column n":    {code.Reconstruct(columns, []int{5}), erasure.ErrShape},
		"reconstruct: wants column -1":   {code.Reconstruct(columns, []int{-1}), erasure.ErrShape},
		"reconstruct: fewer than k":      {code.Reconstruct(few, []int{1}), erasure.ErrTooFew},
		"reconstruct: nothing is there":  {code.Reconstruct(make([][]byte, 5), []int{1}), erasure.ErrTooFew},
		"reconstruct: nothing is wanted": {code.Reconstruct([][]byte{columns[0], nil, columns[2], columns[3], nil}, nil), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if !errors.Is(c.got, c.want) {
				t.Fatalf("got %v, want %v", c.got, c.want)
			}
		})
	}
}

func TestVerify(t *testing.T) {
	s := erasure.Scheme{K: 5, M: 4}
	code, columns := encoded(t, s, 333, 4)
	if ok, err := code.Verify(columns); !ok || err != nil {
		t.Fatalf("Verify of a good stripe = %v, %v", ok, err)
	}
	for c := range columns {
		for _, at := range []int{0, 63, 64, 332} {
			columns[c][at] ^= 1
			if ok, err := code.Verify(columns); ok || err != nil {
				t.Errorf("Verify with a flipped bit at %d of column %d = %v, %v", at, c, ok, err)
			}
			columns[c][at] ^= 1
		}
	}
	columns[8] = columns[8][:332]
	if _, err := code.Verify(columns); !errors.Is(err, erasure.ErrShape) {
		t.Errorf("Verify of ragged columns: %v", err)
	}
}

func TestNewCode(t *testing.T) {
	a, err := erasure.NewCode(erasure.Scheme{K: 6, M: 3})
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := erasure.NewCode(erasure.Scheme{K: 6, M: 3}); a != b {
		t.Error("two codes for one scheme")
	}
	if _, err := erasure.NewCode(erasure.Scheme{K: 33, M: 3}); err == nil {
		t.Error("a code for a scheme out of bounds")
	}
}

// TestAgainstOracle compares with the code written from its definition, for any scheme, size and loss.
func TestAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := erasure.Scheme{K: rapid.IntRange(1, erasure.MaxK).Draw(t, "k"), M: rapid.IntRange(1, erasure.MaxM).Draw(t, "m")}
		size := rapid.IntRange(1, 200).Draw(t, "size")
		checkAgainstOracle(t, s, size, rapid.Uint64().Draw(t, "seed"))
	})
}

func FuzzAgainstOracle(f *testing.F) {
	f.Add(uint8(4), uint8(3), uint16(64), uint64(1))
	f.Add(uint8(31), uint8(15), uint16(1), uint64(2))
	f.Fuzz(func(t *testing.T, k, m uint8, size uint16, seed uint64) {
		s := erasure.Scheme{K: int(k%erasure.MaxK) + 1, M: int(m%erasure.MaxM) + 1}
		checkAgainstOracle(t, s, int(size%300)+1, seed)
	})
}

type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func checkAgainstOracle(t fataler, s erasure.Scheme, size int, seed uint64) {
	t.Helper()
	code, err := erasure.NewCode(s)
	if err != nil {
		t.Fatal(err)
	}
	columns := random(s, size, seed)
	want := oracleEncode(s, columns[:s.K])
	if err := code.Encode(columns); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, columns[s.K:]); diff != "" {
		t.Fatalf("%s: parity differs from the oracle's (-oracle +code):\n%s", s, diff)
	}
	chosen := rand.New(rand.NewPCG(seed, 0)).Perm(s.N())[:s.K]
	partial := make([][]byte, s.N())
	for _, c := range chosen {
		partial[c] = columns[c]
	}
	all := make([]int, s.N())
	for c := range all {
		all[c] = c
	}
	if err := code.Reconstruct(partial, all); err != nil {
		t.Fatalf("%s from %v: %v", s, chosen, err)
	}
	if diff := cmp.Diff(oracleDecode(s, columns, chosen), partial); diff != "" {
		t.Fatalf("%s from %v differs from the oracle's (-oracle +code):\n%s", s, chosen, diff)
	}
}

func ExampleCode_Reconstruct() {
	code, err := erasure.NewCode(erasure.Scheme{K: 2, M: 1})
	if err != nil {
		panic(err)
	}
	columns := [][]byte{[]byte("dry "), []byte("wall"), make([]byte, 4)}
	if err := code.Encode(columns); err != nil {
		panic(err)
	}
	columns[1] = nil // its checksum did not match
	if err := code.Reconstruct(columns, []int{1}); err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", columns[1])
	// Output: wall
}

func BenchmarkEncode(b *testing.B) {
	for _, text := range []string{"rs-4-2", "rs-5-4", "rs-8-4"} {
		for _, size := range []int{4 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%dKiB", text, size>>10), func(b *testing.B) {
				s, _ := erasure.Parse(text)
				code, columns := encoded(b, s, size, 5)
				b.SetBytes(int64(s.K * size))
				b.ReportAllocs()
				for b.Loop() {
					if err := code.Encode(columns); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkReconstruct(b *testing.B) {
	for _, text := range []string{"rs-4-2", "rs-5-4", "rs-8-4"} {
		for _, lost := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/lost%d", text, lost), func(b *testing.B) {
				s, _ := erasure.Parse(text)
				code, columns := encoded(b, s, 1<<20, 6)
				want := []int{0, 2}[:lost]
				b.SetBytes(int64(s.K << 20))
				b.ReportAllocs()
				for b.Loop() {
					for _, c := range want {
						columns[c] = columns[c][:0]
					}
					if err := code.Reconstruct(columns, want); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
