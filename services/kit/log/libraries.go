package log

import (
	"io"

	"google.golang.org/grpc/grpclog"
)

// QuietLibraries ends what libraries write to standard error by themselves: gRPC and the gateway write plain text, a line
// for each client that hangs up and each connection that breaks, and what they tell is in our own lines. It is for main
// functions, before anything else runs.
func QuietLibraries() {
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
}
