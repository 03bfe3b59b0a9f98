// Package rules_test watches Castellan from outside as it does what rules say: a real Temporal server, a simulated
// organization, a worker process, the ops command and the plain Temporal CLI.
package rules_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/castellan-io/castellan/e2e/stack"
)

// What all tests share: the programs, and one server. Each test works in a namespace of its own.
var (
	programs string
	server   *stack.Temporal
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "castellan-rules-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	programs = dir
	if err := stack.Build(ctx, dir, "worker", "starter", "simulator"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if server, err = stack.StartTemporal(ctx, dir, 0, false); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Kill()
	// The tests wait more than they work, so all begin at once.
	flag.Parse()
	if err := flag.Set("test.parallel", "9"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
