package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
)

// Settings are the fields that every service's file has beside its own; a service's Config must not declare them again.
type Settings struct {
	// DebugListen is the private address of /metrics, /healthz, /readyz and, if enabled, pprof; empty: none.
	DebugListen string `yaml:"debug_listen"`
	// DebugPprof adds /debug/pprof/ there.
	DebugPprof bool `yaml:"debug_pprof"`
	// LogLevel is debug, info, warn or error; empty: info.
	LogLevel string `yaml:"log_level"`
	// TraceRatio is the share of traces begun here that are recorded, 0 to 1.
	TraceRatio float64 `yaml:"trace_ratio"`
}

// Validate reports everything that is wrong.
func (s Settings) Validate() error {
	var errs []error
	if s.DebugListen != "" {
		if _, _, err := net.SplitHostPort(s.DebugListen); err != nil {
			errs = append(errs, fmt.Errorf("debug_listen: %w", err))
		}
	}
	if s.DebugPprof && s.DebugListen == "" {
		errs = append(errs, errors.New("debug_pprof: needs debug_listen"))
	}
	if _, err := s.level(); err != nil {
		errs = append(errs, err)
	}
	if !(s.TraceRatio >= 0 && s.TraceRatio <= 1) { // also refuses NaN
		errs = append(errs, fmt.Errorf("trace_ratio: %v is not between 0 and 1", s.TraceRatio))
	}
	return errors.Join(errs...)
}

func (s Settings) level() (slog.Level, error) {
	var level slog.Level
	if s.LogLevel == "" {
		return slog.LevelInfo, nil
	}
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return 0, fmt.Errorf("log_level: %w", err)
	}
	return level, nil
}
