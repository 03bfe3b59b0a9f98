// Package stack starts the real processes that tests, benchmarks and the demo work with: a Temporal server, the
// simulated Atlassian organization, and workers. Everything listens on loopback addresses only.
package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Root returns the project's folder.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// TestPrograms is the variable that names the folder of programs that were built for tests already.
const TestPrograms = "CASTELLAN_TEST_PROGRAMS"

// Programs returns the folder of programs for tests: that of CASTELLAN_TEST_PROGRAMS, else dir, into which it builds
// them.
func Programs(ctx context.Context, dir string, programs ...string) (string, error) {
	if built := os.Getenv(TestPrograms); built != "" {
		return built, nil
	}
	return dir, Build(ctx, dir, programs...)
}

// Build builds the project's programs into the folder, without what only debuggers need: linking that takes longer than
// all else.
func Build(ctx context.Context, dir string, programs ...string) error {
	args := []string{"build", "-ldflags", "-s -w -X main.version=test", "-o", dir + string(filepath.Separator)}
	for _, p := range programs {
		args = append(args, "./"+p)
	}
	build := exec.CommandContext(ctx, "go", args...)
	build.Dir = Root()
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", strings.Join(programs, ", "), err, out)
	}
	return nil
}

// TemporalCLI returns the Temporal CLI to work with: CASTELLAN_TEMPORAL_CLI, else bin/temporal, which `make tools`
// builds.
func TemporalCLI() (string, error) {
	path := os.Getenv("CASTELLAN_TEMPORAL_CLI")
	if path == "" {
		path = filepath.Join(Root(), "bin", "temporal")
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the Temporal CLI is missing; build it with `make tools`: %w", err)
	}
	return path, nil
}

// Process is one running program. Its output goes to the file Log.
type Process struct {
	cmd  *exec.Cmd
	Log  string
	done chan struct{}
}

// Run starts a program of others' making.
func Run(cmd *exec.Cmd, log string) (*Process, error) { return start(cmd, log) }

func start(cmd *exec.Cmd, log string) (*Process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	if cmd.Stdout == nil {
		cmd.Stdout = out
	}
	cmd.Stderr = out
	cmd.SysProcAttr = dieWithParent() // no process outlives a test that was killed
	started := make(chan error, 1)
	p := &Process{cmd: cmd, Log: log, done: make(chan struct{})}
	go func() {
		// The death signal follows the thread that forked, so that thread stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Kill ends the process at once, as a crash would.
func (p *Process) Kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the process to end and waits; after the grace time it is killed. It reports whether the process ended by
// itself, and well.
func (p *Process) Stop(grace time.Duration) bool {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		p.Kill()
	}
	return p.cmd.ProcessState.Success()
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// PeakMemory returns the most resident memory the process has had, in bytes (VmHWM of Linux); 0 when it cannot be told.
func (p *Process) PeakMemory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(status), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// Memory returns the resident memory of the process now, in bytes; 0 when it cannot be told.
func (p *Process) Memory() int64 {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// CPU returns the processor time that the process has taken; 0 when it cannot be told.
func (p *Process) CPU() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may hold blanks
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100) // a hundred ticks a second, as Linux tells them everywhere
}

// Output returns what the process has written so far.
func (p *Process) Output() string {
	out, _ := os.ReadFile(p.Log)
	return string(out)
}

// Eventually tries until it works, the process that it waits for has ended, or the time is over; the error is the last
// try's.
func Eventually(ctx context.Context, within time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	// What comes soon is seen soon; what takes long is not slowed down by looking.
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := try()
		if err == nil || errors.Is(err, errEnded) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", within, err)
		}
	}
}

// freePort finds a loopback port that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

var errEnded = errors.New("the process ended")
