package object

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"unicode/utf8"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
)

// A page token is base64url of: version byte, CRC32C of the listing (bucket, prefix, delimiter), the entry after
// which the next page begins, CRC32C of all before it. It holds no state of any server, so it stays valid whatever is
// written meanwhile and on every front-door. The checksums catch a token that was cut, changed or taken from another
// listing; they are no secret: a token grants nothing.
const (
	tokenVersion  = 1
	tokenOverhead = 1 + crc32.Size + crc32.Size
	maxToken      = tokenOverhead + MaxKey
)

// encodeToken makes the token of the page after `after`.
func encodeToken(req *apiv1.ListObjectsRequest, after string) string {
	raw := make([]byte, 0, tokenOverhead+len(after))
	raw = append(raw, tokenVersion)
	raw = binary.BigEndian.AppendUint32(raw, listingSum(req))
	raw = append(raw, after...)
	raw = binary.BigEndian.AppendUint32(raw, crc32c(raw))
	return base64.RawURLEncoding.EncodeToString(raw)
}

// decodeToken reads what encodeToken made for the same listing. Errors: INVALID_PAGE_TOKEN.
func decodeToken(req *apiv1.ListObjectsRequest) (after string, err error) {
	token := req.GetPageToken()
	if len(token) > base64.RawURLEncoding.EncodedLen(maxToken) {
		return "", badToken("it is too long")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) <= tokenOverhead {
		return "", badToken("it is not one of ours")
	}
	body, sum := raw[:len(raw)-crc32.Size], raw[len(raw)-crc32.Size:]
	if binary.BigEndian.Uint32(sum) != crc32c(body) {
		return "", badToken("it was cut or changed")
	}
	if body[0] != tokenVersion {
		return "", badToken("it is of another version; begin the listing again")
	}
	if binary.BigEndian.Uint32(body[1:]) != listingSum(req) {
		return "", badToken("it belongs to a listing with another bucket, prefix or delimiter")
	}
	after = string(body[1+crc32.Size:])
	if !utf8.ValidString(after) || strings.IndexByte(after, 0) >= 0 {
		return "", badToken("it is not one of ours")
	}
	return after, nil
}

func listingSum(req *apiv1.ListObjectsRequest) uint32 {
	// NUL separates: none of the three may hold one.
	return crc32c([]byte(req.GetBucket() + "\x00" + req.GetPrefix() + "\x00" + req.GetDelimiter()))
}

func crc32c(p []byte) uint32 { return crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)) }

func badToken(why string) error {
	return refuse(typesv1.Reason_REASON_INVALID_PAGE_TOKEN, "page token: %s", why)
}
