package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/drystone-store/drystone/services/drystone"
	"github.com/drystone-store/drystone/services/drystone/internal/datadir"
)

// banner is what `up` prints before `ready`: what runs, and commands to paste into another terminal.
func banner(program, data string, s drystone.Status) string {
	token := fmt.Sprintf(`"Authorization: Bearer $(cat %s)"`, quote(filepath.Join(data, "token")))
	self := quote(program)
	if filepath.Clean(data) != datadir.Default {
		self += " --data " + quote(data)
	}
	rest := "http://" + s.REST
	var b strings.Builder
	fmt.Fprintf(&b, "Drystone %s: %s, new buckets get %s unless they ask, data in %s\n\n", s.Version, s.Topology, s.Scheme, data)
	fmt.Fprintf(&b, "  REST     %s\n  gRPC     %s\n", rest, s.GRPC)
	if s.Metrics != "" {
		fmt.Fprintf(&b, "  metrics  http://%s/metrics\n", s.Metrics)
	}
	b.WriteString("\nPaste into another terminal, in this folder:\n\n")
	for _, line := range []string{
		self + " mb demo",
		"echo hello | " + self + " put - demo/hello.txt",
		self + " ls demo",
		self + " get demo/hello.txt -",
		"",
		fmt.Sprintf("curl -H %s -T %s %s/v1/buckets/demo/objects/program", token, quote(program), rest),
		fmt.Sprintf("curl -H %s '%s/v1/buckets/demo/objects'", token, rest),
		fmt.Sprintf("curl -H %s %s/v1/cluster", token, rest),
		fmt.Sprintf("grpcurl -plaintext -H %s %s drystone.api.v1.ClusterService/GetCluster", token, s.GRPC),
	} {
		b.WriteString(strings.TrimRight("  "+line, " ") + "\n")
	}
	b.WriteString("\nCtrl-C ends it; the data stays.\n")
	return b.String()
}

// programName is how the user called this program, as far as that can be pasted.
func programName() string {
	if len(os.Args) > 0 && os.Args[0] != "" {
		return os.Args[0]
	}
	return "drystone"
}

// quote makes a word that a shell reads as s.
func quote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@%+,"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
