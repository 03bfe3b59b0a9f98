// Command server runs a command while a Temporal server is running, and ends the server with it: the dev server, or
// with --shipped the one that Docker Compose ships, on PostgreSQL where CASTELLAN_TEST_POSTGRES names one, else on
// SQLite. The command finds the server's address in CASTELLAN_TEST_TEMPORAL, and in CASTELLAN_TEST_PROGRAMS a folder
// with all of the project's programs.
//
//	go run ./e2e/server go test ./e2e/...
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/castellan-io/castellan/e2e/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command []string) (err error) {
	shipped := len(command) > 0 && command[0] == "--shipped"
	if shipped {
		command = command[1:]
	}
	if len(command) == 0 {
		return errors.New("say which command to run")
	}
	dir, err := os.MkdirTemp("", "castellan-server-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	begun := time.Now()
	if err := stack.Build(ctx, dir, "worker", "starter", "simulator", "demo", "deploy/probe"); err != nil {
		return err
	}
	built := time.Now()
	server, env, stop, err := start(ctx, dir, shipped)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	version, err := server.Version(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "programs after %.1f s, Temporal %s at %s after %.1f s more\n",
		built.Sub(begun).Seconds(), version, server.Address, time.Since(built).Seconds())
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(append(os.Environ(), stack.TestPrograms+"="+dir), env...)
	return cmd.Run()
}

// start starts the server and returns it, the environment in which tests use it, and how to end it.
func start(ctx context.Context, dir string, shipped bool) (_ *stack.Temporal, env []string, stop func() error,
	err error) {
	if shipped {
		server, err := stack.StartShipped(ctx, dir, os.Getenv("CASTELLAN_TEST_POSTGRES"))
		if err != nil {
			return nil, nil, nil, err
		}
		return server.Temporal, server.Env(), func() error { return server.Stop(ctx) }, nil
	}
	server, err := stack.StartTemporalInMemory(ctx, dir)
	if err != nil {
		return nil, nil, nil, err
	}
	stop = func() error {
		fmt.Fprintf(os.Stderr, "Temporal took %.0f s of processor time and at most %d MiB of memory\n",
			server.CPU().Seconds(), server.PeakMemory()>>20)
		server.Kill()
		return nil
	}
	return server, []string{stack.TestTemporal + "=" + server.Address}, stop, nil
}
