// Command live lets a developer's loop replace the binary of a running container that has nothing else in it. It is one
// program under several names:
//
//	live run -- BINARY ARGS…   runs a binary, and the new one when the file has changed
//	tar …, rm …                just what Tilt executes in a container to put files there and take them away
package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// lookEvery is how often the binary is looked at; it must be the same twice before it is started.
const lookEvery = 300 * time.Millisecond

func main() {
	var code int
	var err error
	switch name := filepath.Base(os.Args[0]); {
	case name == "tar":
		err = extract(os.Stdin, os.Args[1:])
	case name == "rm":
		err = remove(os.Args[1:])
	case len(os.Args) > 3 && os.Args[1] == "run" && os.Args[2] == "--":
		code, err = run(os.Args[3], os.Args[4:])
	default:
		err = errors.New("usage: live run -- BINARY ARGS…")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "live:", err)
		code = 1
	}
	os.Exit(code)
}

// run keeps the newest binary running until it ends by itself or we are told to end.
func run(binary string, args []string) (int, error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	for {
		started := version(binary)
		cmd := exec.Command(binary, args...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return 1, err
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		restart, err := watch(cmd.Process, binary, started, signals, ended)
		if !restart {
			return cmd.ProcessState.ExitCode(), ignoreStatus(err)
		}
	}
}

// watch waits for the end of the process: by itself, because we were told to end, or because there is a newer binary.
func watch(p *os.Process, binary, started string, signals <-chan os.Signal, ended <-chan error) (restart bool, err error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	last := started
	for {
		select {
		case err := <-ended:
			return restart, err
		case s := <-signals:
			restart = false
			_ = p.Signal(s)
		case <-tick.C:
			now := version(binary)
			if now != "" && now != started && now == last && !restart {
				restart = true
				_ = p.Signal(syscall.SIGTERM)
			}
			last = now
		}
	}
}

func ignoreStatus(err error) error {
	var status *exec.ExitError
	if errors.As(err, &status) {
		return nil // it is passed on as our own
	}
	return err
}

// version tells binaries apart.
func version(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size())
}

// extract unpacks an archive into the folder after -C. Files are put in place by a rename: the old ones are running.
func extract(r io.Reader, args []string) error {
	root := "/"
	if i := slices.Index(args, "-C"); i >= 0 && i+1 < len(args) {
		root = args[i+1]
	}
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(root, filepath.Clean("/"+h.Name))
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o755)
		case tar.TypeReg:
			err = put(path, archive, h.FileInfo().Mode())
		}
		if err != nil {
			return err
		}
	}
}

func put(path string, r io.Reader, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode.Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func remove(args []string) error {
	var errs []error
	for _, path := range args {
		if !strings.HasPrefix(path, "-") {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}
