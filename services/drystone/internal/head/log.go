package head

import (
	"context"
	"log/slog"

	"go.uber.org/zap/zapcore"
)

// core hands etcd's warnings and errors to slog, one level lower: warnings of etcd tell of its settings and of slow disks,
// and nobody has to act on them. What it tells below that level is about itself, not about us.
type core struct {
	log *slog.Logger
}

func newCore(log *slog.Logger) zapcore.Core {
	return core{log: log.With(slog.String("component", "etcd"))}
}

// storageVersion is an error that etcd logs in the first seconds of a new member's life, until its first snapshot, and
// that means nothing.
const storageVersion = "failed to update storage version"

// Enabled implements zapcore.LevelEnabler.
func (core) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

// With implements zapcore.Core.
func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{log: slog.New(c.log.Handler().WithAttrs(attrs(fields)))}
}

// Check implements zapcore.Core.
func (c core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(e.Level) {
		return ce
	}
	return ce.AddCore(e, c)
}

// Write implements zapcore.Core.
func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := slog.LevelInfo
	if e.Level > zapcore.WarnLevel && e.Message != storageVersion {
		level = slog.LevelError
	}
	c.log.LogAttrs(context.Background(), level, e.Message, attrs(fields)...) //nolint:sloglint // etcd's words
	return nil
}

// Sync implements zapcore.Core: slog handlers do not buffer.
func (core) Sync() error { return nil }

func attrs(fields []zapcore.Field) []slog.Attr {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	out := make([]slog.Attr, 0, len(enc.Fields))
	for name, value := range enc.Fields {
		out = append(out, slog.Any(name, value))
	}
	return out
}
