package stack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Temporal is a Temporal dev server.
type Temporal struct {
	*Process
	CLI     string
	Address string
	UI      string // address of the Web UI; empty without one
	Client  client.Client
	// Namespace is the one that the client works in; empty: default.
	Namespace string
	args      []string
	dir       string
}

// StartTemporal starts a server with its state in a file, so that it can be killed and started again. A port of 0 takes
// a free one; the Web UI then listens on another free port.
func StartTemporal(ctx context.Context, dir string, port int, ui bool) (*Temporal, error) {
	return startTemporal(ctx, dir, port, ui, "--db-filename", filepath.Join(dir, "temporal.db"), "--sqlite-pragma",
		"journal_mode=wal", "--sqlite-pragma", "synchronous=1")
}

// StartTemporalInMemory starts a server whose state ends with it. It takes less processor time.
func StartTemporalInMemory(ctx context.Context, dir string) (*Temporal, error) {
	return startTemporal(ctx, dir, 0, false)
}

// startTemporal starts a server with more flags. A port that was free may be taken before the server listens on it, as
// may those that the server chooses for itself: then others are tried.
func startTemporal(ctx context.Context, dir string, port int, ui bool, flags ...string) (*Temporal, error) {
	for try := 1; ; try++ {
		t, err := tryTemporal(ctx, dir, port, ui, flags)
		if !errors.Is(err, errEnded) || !strings.Contains(t.Output(), "address already in use") ||
			port != 0 || try == 5 {
			return t, err
		}
	}
}

func tryTemporal(ctx context.Context, dir string, port int, ui bool, flags []string) (*Temporal, error) {
	cli, err := TemporalCLI()
	if err != nil {
		return nil, err
	}
	uiPort := port + 1000
	if port == 0 {
		if port, err = freePort(); err != nil {
			return nil, err
		}
		if uiPort, err = freePort(); err != nil {
			return nil, err
		}
	}
	t := &Temporal{CLI: cli, Address: "127.0.0.1:" + strconv.Itoa(port), dir: dir}
	t.args = append([]string{"server", "start-dev", "--ip", "127.0.0.1", "--port", strconv.Itoa(port), "--log-level",
		"error"}, flags...)
	// The defaults hold a server with one shard to some ten activities a second, whatever the machine.
	for _, value := range []string{
		"history.transferProcessorMaxPollRPS=1000", "history.timerProcessorMaxPollRPS=1000",
		"history.visibilityProcessorMaxPollRPS=1000", "matching.numTaskqueueReadPartitions=1",
		"matching.numTaskqueueWritePartitions=1", "matching.enableFairness=true",
	} {
		t.args = append(t.args, "--dynamic-config-value", value)
	}
	if ui {
		t.UI = "http://127.0.0.1:" + strconv.Itoa(uiPort)
		t.args = append(t.args, "--ui-port", strconv.Itoa(uiPort), "--ui-ip", "127.0.0.1")
	} else {
		t.args = append(t.args, "--headless")
	}
	return t, t.Restart(ctx)
}

// Restart starts the server again on the same state, after Kill or Stop.
func (t *Temporal) Restart(ctx context.Context) (err error) {
	if t.Process, err = start(exec.Command(t.CLI, t.args...), filepath.Join(t.dir, "temporal.log")); err != nil {
		return fmt.Errorf("start the Temporal server: %w", err)
	}
	return Eventually(ctx, time.Minute, func() error {
		select {
		case <-t.Done():
			return fmt.Errorf("the Temporal server did not start: %w\n%s", errEnded, t.Output())
		default:
		}
		if t.Client == nil {
			c, err := client.DialContext(ctx, client.Options{HostPort: t.Address, Logger: quiet})
			if err != nil {
				return err
			}
			t.Client = c
		}
		_, err := t.Client.CheckHealth(ctx, &client.CheckHealthRequest{})
		return err
	})
}

// TestTemporal is the variable that names a running Temporal server, HOST:PORT, for tests to use instead of one that
// they start. It needs the settings of deploy/temporal/dynamicconfig.yaml.
const TestTemporal = "CASTELLAN_TEST_TEMPORAL"

// ConnectTemporal returns a server that runs at the address already. Nothing of it is stopped or killed from here.
func ConnectTemporal(ctx context.Context, address string) (*Temporal, error) {
	cli, err := TemporalCLI()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{HostPort: address, Logger: quiet})
	if err != nil {
		return nil, fmt.Errorf("reach the Temporal server at %s: %w", address, err)
	}
	return &Temporal{CLI: cli, Address: address, Client: c}, nil
}

// Version returns the server's version.
func (t *Temporal) Version(ctx context.Context) (string, error) {
	info, err := t.Client.WorkflowService().GetClusterInfo(ctx, &workflowservice.GetClusterInfoRequest{})
	return info.GetServerVersion(), err
}

// In makes a namespace on the running server and returns the server as it is seen from there. Stacks in namespaces of
// their own share the server and nothing else. Its name begins as given: a server that was there before knows those of
// earlier runs.
func (t *Temporal) In(ctx context.Context, namespace string) (*Temporal, error) {
	namespace += "-" + strings.ToLower(rand.Text()[:8])
	_, err := t.Client.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(72 * time.Hour),
	})
	if err != nil {
		return nil, fmt.Errorf("make namespace %s: %w", namespace, err)
	}
	c, err := client.NewClientFromExisting(t.Client, client.Options{Namespace: namespace, Logger: quiet})
	if err != nil {
		return nil, err
	}
	seen := *t
	seen.Client, seen.Namespace = c, namespace
	// The server's other parts learn of a namespace some time after it was made.
	return &seen, Eventually(ctx, time.Minute, func() error {
		_, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{})
		return err
	})
}

// Env returns the settings with which a program reaches the server.
func (t *Temporal) Env() []string {
	env := []string{"TEMPORAL_ADDRESS=" + t.Address}
	if t.Namespace != "" {
		env = append(env, "TEMPORAL_NAMESPACE="+t.Namespace)
	}
	return env
}

var quiet = log.NewStructuredLogger(slog.New(slog.DiscardHandler))
