package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/drystone-store/drystone/proto/gen/drystone/api/v1"
	"github.com/drystone-store/drystone/services/drystone/internal/client"
)

// objectLine is an object in --json output. The names are those of the REST API; numbers are numbers.
type objectLine struct {
	Bucket       string            `json:"bucket,omitempty"`
	Key          string            `json:"key"`
	Size         int64             `json:"size"`
	ETag         string            `json:"etag,omitempty"`
	VersionID    string            `json:"versionId,omitempty"`
	LastModified string            `json:"lastModified,omitempty"`
	ContentType  string            `json:"contentType,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	Checksum     string            `json:"checksumCrc64nvme,omitempty"`
	File         string            `json:"file,omitempty"`
}

func lineOf(bucket string, o *apiv1.Object) objectLine {
	return objectLine{
		Bucket: bucket, Key: o.GetKey(), Size: o.GetSize(), ETag: o.GetEtag(), VersionID: o.GetVersionId(),
		LastModified: rfc3339(o.GetLastModified()), ContentType: o.GetContentType(), Metadata: o.GetMetadata(),
		Checksum: o.GetChecksumCrc64Nvme(),
	}
}

// bucketLine is a bucket in --json output.
type bucketLine struct {
	Name       string `json:"name"`
	Scheme     string `json:"scheme,omitempty"`
	CreateTime string `json:"createTime,omitempty"`
	// Existed is told by mb: it was there already.
	Existed bool `json:"existed,omitempty"`
}

func bucketLineOf(b *apiv1.Bucket) bucketLine {
	return bucketLine{Name: b.GetName(), Scheme: b.GetScheme(), CreateTime: rfc3339(b.GetCreateTime())}
}

// prefixLine is a rolled-up prefix in --json output.
type prefixLine struct {
	Prefix string `json:"prefix"`
}

// deletedLine is what was removed, in --json output; Deleted is false for what was not there.
type deletedLine struct {
	Bucket  string `json:"bucket"`
	Key     string `json:"key,omitempty"`
	Deleted bool   `json:"deleted"`
}

// errorLine is an error in --json output, on standard error.
type errorLine struct {
	Error string `json:"error"`
	// Reason is the server's, machine-readable; empty for errors of this side.
	Reason string `json:"reason,omitempty"`
}

// complain writes an error to standard error.
func (g *globals) complain(err error) {
	if g.json {
		if raw, failed := json.Marshal(errorLine{Error: err.Error(), Reason: client.Reason(err)}); failed == nil {
			_, _ = fmt.Fprintln(g.Err, string(raw))
			return
		}
	}
	_, _ = fmt.Fprintf(g.Err, "drystone: %v\n", err)
}

func writeJSON(w io.Writer, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return writeln(w, string(raw))
}

func writeln(w io.Writer, line string) error {
	if _, err := fmt.Fprintln(w, line); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

func rfc3339(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format(time.RFC3339Nano)
}

// forPeople writes a time in the reader's zone.
func forPeople(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().Local().Format(time.DateTime)
}
