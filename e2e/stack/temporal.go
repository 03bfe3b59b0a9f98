package stack

import (
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

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
	args    []string
	dir     string
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
			c, err := client.DialContext(ctx, client.Options{HostPort: t.Address, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
			if err != nil {
				return err
			}
			t.Client = c
		}
		_, err := t.Client.CheckHealth(ctx, &client.CheckHealthRequest{})
		return err
	})
}
