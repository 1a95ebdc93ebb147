package object

import (
	"encoding/hex"
	"testing"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

// Check values of "123456789" from the catalogue of parametrised CRC algorithms, and of FIPS 180 and RFC 1321.
var known = map[typesv1.ChecksumKind]string{
	typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME: "ae8b14860a799888",
	typesv1.ChecksumKind_CHECKSUM_KIND_CRC32C:    "e3069283",
	typesv1.ChecksumKind_CHECKSUM_KIND_CRC32:     "cbf43926",
	typesv1.ChecksumKind_CHECKSUM_KIND_SHA1:      "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
	typesv1.ChecksumKind_CHECKSUM_KIND_SHA256:    "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
	typesv1.ChecksumKind_CHECKSUM_KIND_MD5:       "25f9e794323b453885f5181f1b624d0b",
}

func TestEveryKindOfChecksum(t *testing.T) {
	for kind, digest := range known {
		value, err := hex.DecodeString(digest)
		if err != nil {
			t.Fatal(err)
		}
		wrong := append([]byte{value[0] ^ 1}, value[1:]...)
		check := func(name string, spec, trailer []*typesv1.Checksum, want typesv1.Reason) {
			t.Run(kindName(kind)+" "+name, func(t *testing.T) {
				s, err := newSummer(spec)
				if err == nil {
					s.add([]byte("1234"))
					s.add(nil)
					s.add([]byte("56789"))
					err = s.verify(trailer)
				}
				if got := fault.Reason(err); got != want {
					t.Fatalf("%v, want %v", err, want)
				}
			})
		}
		of := func(value []byte) []*typesv1.Checksum { return []*typesv1.Checksum{{Kind: kind, Value: value}} }
		const ok, bad, invalid = typesv1.Reason_REASON_UNSPECIFIED, typesv1.Reason_REASON_BAD_CHECKSUM,
			typesv1.Reason_REASON_INVALID_ARGUMENT
		check("right", of(value), nil, ok)
		check("wrong", of(wrong), nil, bad)
		check("right and wrong", append(of(value), of(wrong)...), nil, bad)
		check("too short", of(value[:len(value)-1]), nil, invalid)
		check("announced, right", of(nil), of(value), ok)
		check("announced, wrong", of(nil), of(wrong), bad)
		check("announced, absent", of(nil), nil, invalid)
		check("announced, empty", of(nil), of(nil), invalid)
		check("announced, too long", of(nil), of(append(value, 0)), invalid)
		unannounced := invalid
		if kind == typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME {
			unannounced = ok // It is computed in any case.
		}
		check("not announced", nil, of(value), unannounced)
	}
}

func TestChecksumsThatMakeNoSense(t *testing.T) {
	many := make([]*typesv1.Checksum, maxChecksums+1)
	for i := range many {
		many[i] = &typesv1.Checksum{Kind: typesv1.ChecksumKind_CHECKSUM_KIND_CRC32}
	}
	for name, sums := range map[string][]*typesv1.Checksum{
		"no kind":      {{Value: []byte{1}}},
		"unknown kind": {{Kind: 99, Value: []byte{1}}},
		"too many":     many,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newSummer(sums); !fault.Is(err, typesv1.Reason_REASON_INVALID_ARGUMENT) {
				t.Fatal(err)
			}
		})
	}
}
