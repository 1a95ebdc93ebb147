package log_test

import (
	"context"
	"log/slog"
	"os"

	"github.com/drystone-store/drystone/services/kit/log"
)

func Example() {
	logger := log.New(withoutTime{os.Stdout}, "frontdoor", slog.LevelInfo)
	ctx := log.WithCorrelation(context.Background(), "c-1")
	log.SetTenant(ctx, "t-1")
	logger.InfoContext(ctx, "bucket created", log.Key("bucket", "photos"))
	// Output: {"level":"INFO","msg":"bucket created","service":"frontdoor","bucket":"84a6dae49cf04812","correlationId":"c-1","tenantId":"t-1"}
}

// withoutTime cuts the time off, which no example can know.
type withoutTime struct{ *os.File }

func (w withoutTime) Write(p []byte) (int, error) {
	const begin = len(`{"time":"2006-01-02T15:04:05`)
	for i := begin; i < len(p); i++ {
		if p[i] == ',' {
			_, err := w.File.Write(append([]byte("{"), p[i+1:]...))
			return len(p), err
		}
	}
	return w.File.Write(p)
}
