package rest

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
)

// checksumHeader is a header, or trailer, that carries one checksum in base64.
type checksumHeader struct {
	name string
	kind typesv1.ChecksumKind
}

// checksumHeaders are ours, RFC 1864's, and those of S3's SDKs.
func checksumHeaders() []checksumHeader {
	return []checksumHeader{
		{headerCRC64, typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME},
		{"Content-Md5", typesv1.ChecksumKind_CHECKSUM_KIND_MD5},
		{"X-Amz-Checksum-Crc64nvme", typesv1.ChecksumKind_CHECKSUM_KIND_CRC64NVME},
		{"X-Amz-Checksum-Crc32", typesv1.ChecksumKind_CHECKSUM_KIND_CRC32},
		{"X-Amz-Checksum-Crc32c", typesv1.ChecksumKind_CHECKSUM_KIND_CRC32C},
		{"X-Amz-Checksum-Sha1", typesv1.ChecksumKind_CHECKSUM_KIND_SHA1},
		{"X-Amz-Checksum-Sha256", typesv1.ChecksumKind_CHECKSUM_KIND_SHA256},
		{"X-Amz-Checksum-Md5", typesv1.ChecksumKind_CHECKSUM_KIND_MD5},
	}
}

// digestHeaders are RFC 9530's. Nothing here changes a body's encoding, so content and representation are the same.
func digestHeaders() []string { return []string{"Content-Digest", "Repr-Digest"} }

// headerChecksums collects the checksums that a request, or its trailer, carries. Errors: INVALID_ARGUMENT.
func headerChecksums(h http.Header) ([]*typesv1.Checksum, error) {
	var sums []*typesv1.Checksum
	for _, c := range checksumHeaders() {
		for _, value := range h[c.name] {
			sum, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(value))
			if err != nil || len(sum) == 0 {
				return nil, invalid("%s: it is not base64", c.name)
			}
			sums = append(sums, &typesv1.Checksum{Kind: c.kind, Value: sum})
		}
	}
	for _, name := range digestHeaders() {
		for _, value := range h[name] {
			found, err := parseDigest(value)
			if err != nil {
				return nil, invalid("%s: %v", name, err)
			}
			sums = append(sums, found...)
		}
	}
	return sums, nil
}

// trailerChecksums is headerChecksums for what came behind the body.
func trailerChecksums(trailer http.Header) ([]*typesv1.Checksum, error) {
	if len(trailer) == 0 {
		return nil, nil
	}
	return headerChecksums(trailer)
}

// announcedChecksums are the kinds that the Trailer header says will come behind the body; they have no value yet.
func announcedChecksums(trailer http.Header) []*typesv1.Checksum {
	var sums []*typesv1.Checksum
	for name := range trailer {
		for _, c := range checksumHeaders() {
			if c.name == name {
				sums = append(sums, &typesv1.Checksum{Kind: c.kind})
			}
		}
		if slices.Contains(digestHeaders(), name) {
			sums = append(sums, &typesv1.Checksum{Kind: typesv1.ChecksumKind_CHECKSUM_KIND_SHA256})
		}
	}
	return sums
}

// digestError says what is wrong with a digest field.
type digestError string

// Error implements error.
func (e digestError) Error() string { return string(e) }

const (
	errDigestMember digestError = "a member is not `algorithm=:base64:`"
	errDigestBase64 digestError = "a value is not base64"
)

// parseDigest reads a dictionary of byte sequences (RFC 9530 §2, RFC 8941 §3.2) and returns its SHA-256. Other
// algorithms are ignored, as the RFC says; parameters mean nothing.
func parseDigest(field string) ([]*typesv1.Checksum, error) {
	var sums []*typesv1.Checksum
	for rest := strings.Trim(field, " "); ; {
		algorithm, value, after, ok := cutMember(rest)
		if !ok {
			return nil, errDigestMember
		}
		sum, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return nil, errDigestBase64
		}
		if algorithm == "sha-256" {
			sums = append(sums, &typesv1.Checksum{Kind: typesv1.ChecksumKind_CHECKSUM_KIND_SHA256, Value: sum})
		}
		after = strings.TrimLeft(after, " \t")
		if after == "" {
			return sums, nil
		}
		next, ok := strings.CutPrefix(after, ",")
		if !ok {
			return nil, errDigestMember
		}
		rest = strings.TrimLeft(next, " \t")
	}
}

// cutMember takes `key=:base64:` and its parameters off a dictionary.
func cutMember(s string) (key, value, rest string, ok bool) {
	key, rest, ok = strings.Cut(s, "=:")
	if !ok || key == "" || strings.ContainsFunc(key, isNotKeyRune) {
		return "", "", "", false
	}
	value, rest, ok = strings.Cut(rest, ":")
	if !ok || value == "" {
		return "", "", "", false
	}
	if strings.HasPrefix(rest, ";") {
		if comma := strings.IndexByte(rest, ','); comma >= 0 {
			return key, value, rest[comma:], true
		}
		rest = ""
	}
	return key, value, rest, true
}

func isNotKeyRune(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("_-.*", r)
}
