// Package suite is what the end-to-end tests share: one set of programs and one Temporal server for a package's tests,
// and for each test a namespace, a simulated organization and a worker of its own. All packages share the programs in
// CASTELLAN_TEST_PROGRAMS and the server at CASTELLAN_TEST_TEMPORAL (HOST:PORT) where e2e/server has made them.
package suite

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// Org is the name of every test's organization.
const Org = "acme"

// Patience is how long anything may take before a test gives up: a host may take most of a machine's processors away
// for minutes. Nothing is slower for it.
const Patience = 10 * time.Minute

// Programs is the folder of the programs that were built.
var Programs string

var server *stack.Temporal

// Run sees to the programs and the server and runs a package's tests, so many at once: they wait more than they work.
// It returns the status to exit with.
func Run(m *testing.M, parallel int) int {
	status, err := run(m, parallel)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

func run(m *testing.M, parallel int) (int, error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "castellan-e2e-*")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if Programs, err = stack.Programs(ctx, dir, "worker", "starter", "simulator"); err != nil {
		return 0, err
	}
	if address := os.Getenv(stack.TestTemporal); address != "" {
		if server, err = stack.ConnectTemporal(ctx, address); err != nil {
			return 0, err
		}
		defer server.Client.Close()
	} else {
		if server, err = stack.StartTemporalInMemory(ctx, dir); err != nil {
			return 0, err
		}
		defer server.Kill()
	}
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(parallel)); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// Long leaves a test to make check, whose test-shipped runs all of them: under -short, with which make test runs, it is
// skipped. Long is a test of one of many ways in which something may go, where make test tries another way from end to
// end, and the rules of this one beside the code. What only shows with real processes that crash is never long. The
// layout test sees to it that no package uses Long that test-shipped leaves out.
func Long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("long: runs in make check (make test-shipped)")
	}
}

// Lasting returns how long something lasts that a test has to see while it does: so briefly under -short, and four
// times as long in make check, which has the machine do several things at once.
func Lasting(brief time.Duration) time.Duration {
	if testing.Short() {
		return brief
	}
	return 4 * brief
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// Namespace returns the server with a namespace of the test's own.
func Namespace(t *testing.T) *stack.Temporal {
	t.Helper()
	temporal, err := server.In(t.Context(),
		strings.Trim(notInNames.ReplaceAllString(strings.ToLower(t.Name()), "-"), "-"))
	require.NoError(t, err)
	return temporal
}

// Start starts a simulator, with the flags given, and a worker in a namespace of the test's own. They stop with the
// test.
func Start(t *testing.T, flags ...string) *stack.Stack {
	t.Helper()
	return StartWith(t, nil, flags...)
}

// StartWith is Start with more of the worker's environment, as NAME=value.
func StartWith(t *testing.T, env []string, flags ...string) *stack.Stack {
	t.Helper()
	temporal := Namespace(t)
	s, err := stack.StartOn(t.Context(), temporal, t.TempDir(), Programs, env, flags...)
	require.NoError(t, err)
	Watch(t, s)
	// until the worker has registered the search attributes
	require.NoError(t, stack.Eventually(t.Context(), Patience, func() error {
		_, err := temporal.Client.ListWorkflow(t.Context(),
			&workflowservice.ListWorkflowExecutionsRequest{Query: `CastellanOrg = "` + Org + `"`})
		return err
	}))
	return s
}

// Watch stops the processes with the test. If it failed, it shows the last runs and their lines before, for whoever has
// to find out why.
func Watch(t *testing.T, s *stack.Stack) {
	t.Cleanup(func() {
		if t.Failed() {
			tell(t, s)
		}
		s.Stop()
	})
}

func tell(t *testing.T, s *stack.Stack) {
	log := s.Worker.Output()
	t.Logf("the end of the worker's log:\n%s", log[max(0, len(log)-6000):])
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // the test's own context has ended
	defer cancel()
	answer, err := s.Ask(ctx, messages.ReportInput{Org: Org, Kind: messages.ReportRuns, Limit: 14})
	if err != nil {
		t.Logf("the runs cannot be told: %v", err)
		return
	}
	for _, r := range answer.Runs {
		t.Logf("run %s (%s, %s) %s: %+v %v", r.Run, r.Scope, r.Trigger, r.State, r.Counts, r.Problem)
		lines, err := s.Ask(ctx, messages.ReportInput{Org: Org, Kind: messages.ReportPlan, Run: r.Run, Limit: 8})
		if err != nil || lines.Plan == nil {
			continue
		}
		for _, l := range lines.Plan.Lines {
			t.Logf("    %s: %s %v: %s", l.Label(), l.State, l.HeldBy, l.Answer)
		}
	}
}

// OrgFile writes an organization for the simulator and returns its path.
func OrgFile(t *testing.T, file cloud.OrgFile) string {
	t.Helper()
	data, err := json.Marshal(file)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "org.json")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}
