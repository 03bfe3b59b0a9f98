package stack

import (
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// Temporal is a Temporal dev server with its state in a file, so that it can be killed and started again.
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

// StartTemporal starts a server. A port of 0 takes a free one; the Web UI then listens on another free port.
func StartTemporal(ctx context.Context, dir string, port int, ui bool) (*Temporal, error) {
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
	t.args = []string{"server", "start-dev", "--ip", "127.0.0.1", "--port", strconv.Itoa(port), "--log-level", "error",
		"--db-filename", filepath.Join(dir, "temporal.db"), "--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1"}
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

// In makes a namespace on the running server and returns the server as it is seen from there. Stacks in namespaces of their
// own share the server and nothing else.
func (t *Temporal) In(ctx context.Context, namespace string) (*Temporal, error) {
	if out, err := exec.CommandContext(ctx, t.CLI, "operator", "namespace", "create", "--address", t.Address, "--namespace", namespace).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make namespace %s: %w\n%s", namespace, err, out)
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

// Env are the settings with which a program reaches the server.
func (t *Temporal) Env() []string {
	env := []string{"TEMPORAL_ADDRESS=" + t.Address}
	if t.Namespace != "" {
		env = append(env, "TEMPORAL_NAMESPACE="+t.Namespace)
	}
	return env
}

var quiet = log.NewStructuredLogger(slog.New(slog.DiscardHandler))
