package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"go.opentelemetry.io/otel"
	"golang.org/x/sync/errgroup"

	"github.com/drystone-store/drystone/services/kit/clock"
	"github.com/drystone-store/drystone/services/kit/config"
	"github.com/drystone-store/drystone/services/kit/log"
	"github.com/drystone-store/drystone/services/kit/rpc"
	"github.com/drystone-store/drystone/services/kit/telemetry"
)

// Exit codes of every service binary.
const (
	exitOK     = 0
	exitFailed = 1 // also after a second signal
	exitUsage  = 2 // wrong flags or configuration: starting again will not help
)

// Main is a service's whole main function; it does not return. C is the service's configuration, a struct with yaml
// tags and, usually, a Validate method; the file holds its fields and those of Settings side by side.
//
// Flags: --config FILE, --check-config, --print-config, --version. SIGTERM and SIGINT end ctx; a second one ends the
// process at once. Exit codes: 0 done, 1 run failed, 2 wrong flags or configuration. Log lines go to standard error.
func Main[C any](name string, run func(ctx context.Context, cfg C, env Env) error) {
	log.QuietLibraries()
	ctx := UntilSignal()
	p := process[C]{name: name, run: run, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(p.main(ctx, os.Args[1:]))
}

// UntilSignal is a process's context: SIGTERM and SIGINT end it; a second one ends the process at once, with status 1. It
// is called once, by main.
func UntilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // lives as long as the process
		<-signals
		cancel()
		// Handing signals back to their default would not do: it is to ignore them where a shell's script started us with &.
		<-signals
		os.Exit(exitFailed)
	}()
	return ctx
}

// file is what the YAML holds.
type file[C any] struct {
	Settings `yaml:",inline"`
	Service  C `yaml:",inline"`
}

// Validate reports everything that is wrong with either half.
func (f file[C]) Validate() error {
	errs := []error{f.Settings.Validate()}
	if v, ok := any(f.Service).(config.Validator); ok {
		errs = append(errs, v.Validate())
	} else if v, ok := any(&f.Service).(config.Validator); ok {
		errs = append(errs, v.Validate())
	}
	return errors.Join(errs...)
}

// process is Main with its surroundings as fields.
type process[C any] struct {
	name           string
	run            func(context.Context, C, Env) error
	stdout, stderr io.Writer
}

func (p process[C]) main(ctx context.Context, args []string) int {
	flags := flag.NewFlagSet(p.name, flag.ContinueOnError)
	flags.SetOutput(p.stderr)
	path := flags.String("config", "", "the configuration `file` (YAML); without it every field has its zero value")
	check := flags.Bool("check-config", false, "check the configuration and exit")
	show := flags.Bool("print-config", false, "print the configuration as it is understood and exit")
	version := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if flags.NArg() > 0 {
		return p.fail(exitUsage, fmt.Errorf("unexpected argument %q", flags.Arg(0)))
	}
	if *version {
		_, _ = fmt.Fprintln(p.stdout, p.name, Version())
		return exitOK
	}
	var f file[C]
	err := config.Validate(f)
	if *path != "" {
		err = config.Load(*path, &f)
	}
	if err != nil {
		return p.fail(exitUsage, err)
	}
	switch {
	case *show:
		err = config.Print(p.stdout, f)
	case !*check:
		err = p.serve(ctx, f)
	}
	if err != nil {
		return p.fail(exitFailed, err)
	}
	return exitOK
}

func (p process[C]) fail(code int, err error) int {
	_, _ = fmt.Fprintf(p.stderr, "%s: %v\n", p.name, err)
	return code
}

// serve runs the service and its debug listener until ctx ends or one of them fails.
func (p process[C]) serve(ctx context.Context, f file[C]) error {
	if _, err := clock.Offset(); err != nil {
		return err
	}
	level, err := f.level()
	if err != nil {
		return err
	}
	logger := log.New(p.stderr, p.name, level)
	tracing, err := telemetry.NewTracing(p.name, f.TraceRatio)
	if err != nil {
		return err
	}
	otel.SetTracerProvider(tracing)
	metrics := telemetry.NewMetrics()
	registry := rpc.NewRegistry()
	env := Env{
		Log: logger, Metrics: metrics, Registry: registry,
		Dialer: rpc.NewDialer(rpc.DialerOptions{Log: logger, Metrics: metrics, Registry: registry, Caller: p.name}),
	}
	running, end := context.WithCancel(ctx)
	defer end()
	group, running := errgroup.WithContext(running)
	if f.DebugListen != "" {
		listener, err := rpc.Listen(running, f.DebugListen)
		if err != nil {
			return fmt.Errorf("listen for debugging: %w", err)
		}
		handler := telemetry.Handler(telemetry.HandlerOptions{Metrics: metrics, Ready: registry.Ready, Pprof: f.DebugPprof})
		group.Go(func() error { return telemetry.Serve(running, listener, handler) })
	}
	group.Go(func() error {
		defer end() // the debug listener outlives the service, not the other way round
		logger.LogAttrs(running, slog.LevelInfo, "service starts", slog.String("version", Version()))
		err := p.run(running, f.Service, env)
		logger.LogAttrs(running, slog.LevelInfo, "service stopped")
		return err
	})
	return errors.Join(group.Wait(), tracing.Shutdown(context.WithoutCancel(ctx)))
}

// version is set by the linker (`-X …/kit/app.version=v1.2.3`); empty in a plain `go build`.
var version string

// Version is what this binary was built from: the release that the build named, else the commit, else `(devel)`.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return info.Main.Version
}
