// Package docs_test holds README.md, docs and examples to the code: what they name must exist, and what they show must
// work.
package docs_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const root = "../.."

func TestEveryExamplePolicyParses(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "examples", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		_, err = policy.Parse(filepath.Base(file), text)
		require.NoError(t, err)
		first, _, _ := strings.Cut(string(text), "\n")
		schema, found := strings.CutPrefix(first, "# yaml-language-server: $schema=")
		require.True(t, found, "%s: editors find the schema by the first line", file)
		require.FileExists(t, filepath.Join(filepath.Dir(file), schema))
	}
}

// TestCommentedExampleHasTheDefaults: whoever takes the guard and sync sections out of it changes nothing.
func TestCommentedExampleHasTheDefaults(t *testing.T) {
	p := parse(t, "examples/acme.yaml")
	require.Equal(t, policy.DefaultGuard(), p.Guard)
	require.Equal(t, policy.DefaultSync(), p.Sync)
}

func TestInputFileStartsTheSamePolicy(t *testing.T) {
	var in messages.OrgSyncInput
	decoder := json.NewDecoder(bytes.NewReader(read(t, "examples/acme.json")))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&in))
	require.NotEmpty(t, in.By)
	p, err := policy.Parse("acme.json", in.Policy)
	require.NoError(t, err)
	require.Equal(t, parse(t, "examples/acme.yaml").Hash(), p.Hash(), "acme.yaml and acme.json are one policy")
}

// TestDemoPolicyFitsTheSimulator: its ids are those that the simulator gives an invented organization.
func TestDemoPolicyFitsTheSimulator(t *testing.T) {
	p := parse(t, "examples/demo.yaml")
	settings := cloud.DefaultSettings()
	simulated := cloud.New(cloud.Options{Seed: 1, Apps: []string{"jira", "confluence", "jsm"}, Settings: &settings})
	require.NoError(t, simulated.SeedGenerated(cloud.Generator{People: 200, Groups: 80, Memberships: 1000, Seed: 1}))
	state := simulated.State()
	require.Equal(t, state.OrgID, p.Organization.ID)
	require.Equal(t, state.KeyOwner, p.Organization.KeyOwner)
	emails := map[string]bool{}
	for _, person := range state.People {
		emails[person.Email] = true
	}
	for _, protected := range p.Protected {
		for _, name := range protected.Always {
			require.True(t, emails[name], "%s always stays, but is not there", name)
		}
	}
}

func parse(t *testing.T, path string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(path, read(t, path))
	require.NoError(t, err)
	return p
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return text
}
