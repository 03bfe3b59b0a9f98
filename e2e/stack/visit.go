package stack

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"

	"go.temporal.io/sdk/client"
)

// Visit returns an installation that runs already: Temporal at its address, the simulator at its URL, and workers, of
// which nothing is known here. The Temporal CLI and the ops command are those in PATH. Stop leaves all of it running.
func Visit(ctx context.Context, temporal, simulator string) (*Stack, error) {
	cli, err := exec.LookPath("temporal")
	if err != nil {
		return nil, err
	}
	starter, err := exec.LookPath("starter")
	if err != nil {
		return nil, err
	}
	sim := &Simulator{}
	s := &Stack{Bin: filepath.Dir(starter), Temporal: &Temporal{CLI: cli, Address: temporal}, Simulator: sim,
		shared: true}
	sim.URL = strings.TrimSuffix(simulator, "/")
	if err := sim.control(ctx, http.MethodGet, "info", nil, sim); err != nil {
		return nil, fmt.Errorf("ask the simulator at %s: %w", simulator, err)
	}
	s.Temporal.Client, err = client.DialContext(ctx, client.Options{HostPort: temporal, Logger: quiet})
	if err != nil {
		return nil, fmt.Errorf("reach Temporal at %s: %w", temporal, err)
	}
	return s, nil
}
