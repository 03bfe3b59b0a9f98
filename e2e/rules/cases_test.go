package rules_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
)

func TestRulesAreTestedWithoutTemporal(t *testing.T) {
	t.Parallel()
	policy, cases := filepath.Join(stack.Root(), "examples", "rules.yaml"),
		filepath.Join(stack.Root(), "examples", "cases", "rules.yaml")
	try := func(args ...string) (string, int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(suite.Programs, "starter"),
			append([]string{"rules", "test"}, args...)...)
		cmd.Env = append(os.Environ(), "TEMPORAL_ADDRESS=127.0.0.1:1")
		out, err := cmd.CombinedOutput()
		return string(out), exitOf(err)
	}
	out, status := try(policy, "--cases", cases)
	require.Zero(t, status, out)
	require.Regexp(t, `\d+ cases: \d+ as expected, 0 not`, out)

	text, err := os.ReadFile(cases)
	require.NoError(t, err)
	wrong := filepath.Join(t.TempDir(), "cases.yaml")
	changed := strings.Replace(string(text), "gives: [group:ledger-readers]", "gives: [group:ledger-writers]", 1)
	require.NotEqual(t, string(text), changed)
	require.NoError(t, os.WriteFile(wrong, []byte(changed), 0o600))
	out, status = try(policy, "--cases", wrong)
	require.Equal(t, 1, status, out)
	require.Regexp(t, `cases\.yaml:\d+: finance reads the ledger space: `, out)
	require.Contains(t, out, "1 not")

	require.NoError(t, os.WriteFile(wrong, []byte(strings.Replace(changed, "expect:", "expects:", 1)), 0o600))
	for _, unreadable := range [][]string{
		{policy, "--cases", filepath.Join(t.TempDir(), "none.yaml")},
		{filepath.Join(t.TempDir(), "none.yaml"), "--cases", cases},
		{policy, "--cases", wrong}, {cases, "--cases", cases},
	} {
		out, status = try(unreadable...)
		require.Equal(t, 2, status, out)
		require.Contains(t, out, "starter: ")
	}
}
