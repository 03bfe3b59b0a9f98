package stack

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Simulator is a simulated Atlassian organization.
type Simulator struct {
	*Process
	URL             string `json:"url"`
	OrgID           string `json:"orgId"`
	DirectoryID     string `json:"directoryId"`
	SCIMDirectoryID string `json:"scimDirectoryId"`
	KeyOwner        string `json:"keyOwner"`
}

// The simulator's keys, and the variables in which a worker finds them, whichever of the tests' organizations it is.
const (
	OrgKey          = "sim-org-key"
	SCIMKey         = "sim-scim-key"
	KeyVariable     = "CASTELLAN_KEY_SIM"
	SCIMKeyVariable = "CASTELLAN_KEY_SIM_SCIM"
	SourceVariable  = "CASTELLAN_KEY_SOURCE" // of an identity source
)

// StartSimulator starts the simulator that Build put into bin, with the flags given.
func StartSimulator(ctx context.Context, bin, dir string, flags ...string) (*Simulator, error) {
	cmd := exec.Command(filepath.Join(bin, "simulator"), flags...)
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = write
	s := &Simulator{}
	if s.Process, err = start(cmd, filepath.Join(dir, "simulator.log")); err != nil {
		return nil, fmt.Errorf("start the simulator: %w", err)
	}
	_ = write.Close()
	ready := make(chan error, 1)
	go func() {
		line, err := bufio.NewReader(read).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, s)
		}
		ready <- err
	}()
	select {
	case err := <-ready:
		if err != nil {
			return nil, fmt.Errorf("the simulator did not start: %w\n%s", err, s.Output())
		}
		return s, nil
	case <-time.After(2 * time.Minute):
		s.Kill()
		return nil, fmt.Errorf("the simulator did not start\n%s", s.Output())
	case <-ctx.Done():
		s.Kill()
		return nil, ctx.Err()
	}
}

// Worker is a Castellan worker.
type Worker struct {
	*Process
}

// SourceFolder is the folder of exported files that the worker of a folder may read for organization acme.
func SourceFolder(dir string) string { return filepath.Join(dir, "exports") }

// SourceSecret returns the environment of a worker that may send a password, which a policy of organization acme names
// by SourceVariable, to the server of an identity source at HOST:PORT.
func SourceSecret(address, password string) []string {
	return []string{SourceVariable + "=" + password,
		"CASTELLAN_SECRET_HOSTS=acme=env:" + SourceVariable + "@" + address}
}

// StartWorker starts the worker that Build put into bin against a Temporal server and a simulator, with its ledger at
// ledgerURL (empty: that of dir, see LedgerIn). More environment can be given as NAME=value.
func StartWorker(bin, dir, ledgerURL, temporal, simulator string, env ...string) (*Worker, error) {
	if ledgerURL == "" {
		var err error
		if ledgerURL, err = LedgerIn(context.Background(), dir); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(SourceFolder(dir), 0o700); err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(bin, "worker"))
	// The tests' own variables are none of the worker's.
	inherited := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CASTELLAN_") })
	cmd.Env = append(append(inherited,
		"TEMPORAL_ADDRESS="+temporal, "CASTELLAN_ATLASSIAN_URL="+simulator, "CASTELLAN_LEDGER="+ledgerURL,
		"CASTELLAN_LISTEN=off", "CASTELLAN_LOG_FORMAT=console", "CASTELLAN_DRAIN_TIMEOUT=2s",
		KeyVariable+"="+OrgKey, "CASTELLAN_KEY_ACME="+OrgKey, "CASTELLAN_SOURCE_FOLDERS=acme="+SourceFolder(dir),
		SCIMKeyVariable+"="+SCIMKey,
		"CASTELLAN_SECRETS=acme=env:"+KeyVariable+",acme=env:"+SCIMKeyVariable+",campaign=env:"+KeyVariable+",bench=env:"+KeyVariable), env...)
	p, err := start(cmd, filepath.Join(dir, "worker.log"))
	if err != nil {
		return nil, fmt.Errorf("start the worker: %w", err)
	}
	return &Worker{p}, nil
}
