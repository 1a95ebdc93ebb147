package bucket

import (
	"net/netip"
	"strings"

	"google.golang.org/grpc/codes"

	typesv1 "github.com/drystone-store/drystone/proto/gen/drystone/types/v1"
	"github.com/drystone-store/drystone/services/kit/fault"
)

const (
	minName = 3
	maxName = 63
)

// validateName applies S3's rules, so that a bucket can have the same name everywhere and can be a host name.
// Errors: INVALID_BUCKET_NAME.
func validateName(name string) error {
	switch {
	case len(name) < minName || len(name) > maxName:
		return badName("it has 3 to 63 characters")
	case strings.IndexFunc(name, isNotNameRune) >= 0:
		return badName("it has lower-case letters, digits, dots and hyphens only")
	case !isAlphanumeric(name[0]) || !isAlphanumeric(name[len(name)-1]):
		return badName("it begins and ends with a letter or a digit")
	case strings.Contains(name, ".."):
		return badName("it has no two dots in a row")
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return badName("it does not look like an IP address")
	}
	for _, prefix := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(name, prefix) {
			return badName("S3 keeps the prefix " + prefix + " for itself")
		}
	}
	for _, suffix := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(name, suffix) {
			return badName("S3 keeps the suffix " + suffix + " for itself")
		}
	}
	return nil
}

func isNotNameRune(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-'
}

func isAlphanumeric(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func badName(rule string) error {
	return fault.New(codes.InvalidArgument, typesv1.Reason_REASON_INVALID_BUCKET_NAME, "bucket name: %s", rule)
}
