package rest

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
)

func TestParseDigest(t *testing.T) {
	const sum = "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="
	for name, tc := range map[string]struct {
		field string
		want  []string
		fail  bool
	}{
		"sha-256":                {"sha-256=:" + sum + ":", []string{sum}, false},
		"and another":            {"sha-512=:YWJj:, sha-256=:" + sum + ":", []string{sum}, false},
		"only another":           {"sha-512=:YWJj:", nil, false},
		"parameters":             {"sha-256=:" + sum + `:;a=b;c, unixsum=:YWJj:;x`, []string{sum}, false},
		"twice":                  {"sha-256=:YWJj:,sha-256=:" + sum + ":", []string{"YWJj", sum}, false},
		"empty":                  {"", nil, true},
		"no colons":              {"sha-256=" + sum, nil, true},
		"one colon":              {"sha-256=:" + sum, nil, true},
		"no value":               {"sha-256=::", nil, true},
		"not base64":             {"sha-256=:*:", nil, true},
		"comma at the end":       {"sha-256=:YWJj:,", nil, true},
		"rubbish behind":         {"sha-256=:YWJj: x", nil, true},
		"capitals in the name":   {"SHA-256=:YWJj:", nil, true},
		"the older Digest field": {"SHA-256=" + sum, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			sums, err := parseDigest(tc.field)
			if (err != nil) != tc.fail {
				t.Fatalf("%q: %v", tc.field, err)
			}
			var got []string
			for _, s := range sums {
				got = append(got, base64.StdEncoding.EncodeToString(s.GetValue()))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

// FuzzParseDigest checks that a field that parses means the same in its plain spelling.
func FuzzParseDigest(f *testing.F) {
	for _, seed := range []string{"sha-256=:YWJj:", "a=:YWJj:;p, sha-256=:YQ==:", "sha-256=:YWJj", ","} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		sums, err := parseDigest(field)
		if err != nil || len(sums) == 0 {
			return
		}
		var members []string
		for _, s := range sums {
			members = append(members, "sha-256=:"+base64.StdEncoding.EncodeToString(s.GetValue())+":")
		}
		again, err := parseDigest(strings.Join(members, ", "))
		if err != nil {
			t.Fatalf("%q became %q: %v", field, members, err)
		}
		if diff := cmp.Diff(sums, again, protocmp.Transform()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestHeaderChecksums(t *testing.T) {
	h := http.Header{}
	for name, value := range map[string]string{
		"drystone-checksum-crc64nvme": "AAAAAAAAAAA=",
		"Content-MD5":                 "AAAAAAAAAAAAAAAAAAAAAA==",
		"x-amz-checksum-crc64nvme":    "AAAAAAAAAAA=",
		"x-amz-checksum-crc32":        "AAAAAA==",
		"x-amz-checksum-crc32c":       "AAAAAA==",
		"x-amz-checksum-sha1":         "AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"x-amz-checksum-sha256":       "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"Content-Digest":              "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:",
		"Repr-Digest":                 "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:",
	} {
		h.Set(name, value)
	}
	sums, err := headerChecksums(h)
	if err != nil {
		t.Fatal(err)
	}
	got := map[typesv1.ChecksumKind]int{}
	for _, s := range sums {
		got[s.GetKind()] += len(s.GetValue())
	}
	want := map[typesv1.ChecksumKind]int{
		typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME: 2 * 8,
		typesv1.ChecksumKind_CHECKSUM_KIND_CRC32:     4,
		typesv1.ChecksumKind_CHECKSUM_KIND_CRC32C:    4,
		typesv1.ChecksumKind_CHECKSUM_KIND_SHA1:      20,
		typesv1.ChecksumKind_CHECKSUM_KIND_SHA256:    3 * 32,
		typesv1.ChecksumKind_CHECKSUM_KIND_MD5:       16,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	for name, value := range map[string]string{
		"Content-MD5": "not base64!", "x-amz-checksum-crc32": "", "Repr-Digest": "nonsense",
	} {
		bad := http.Header{}
		bad.Set(name, value)
		if _, err := headerChecksums(bad); err == nil {
			t.Errorf("%s: %q was taken", name, value)
		}
	}
}
