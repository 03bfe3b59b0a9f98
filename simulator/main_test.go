package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadyLineAndStop(t *testing.T) {
	file := filepath.Join(t.TempDir(), "org.json")
	require.NoError(t, os.WriteFile(file,
		[]byte(`{"people":["ana","bo"],"admins":["ana"],"groups":[{"name":"eng","members":["bo"]}]}`), 0o600))
	for name, args := range map[string][]string{
		"file": {"--org", file, "--sites", "acme,beta", "--lag", "2s"},
		"generated": {"--people", "50", "--groups", "5", "--memberships", "100", "--seed", "3", "--guard=false",
			"--limits"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			reader, writer := io.Pipe()
			ended := make(chan error, 1)
			go func() { ended <- run(ctx, args, func(string) string { return "" }, writer) }()
			line, err := bufio.NewReader(reader).ReadBytes('\n')
			require.NoError(t, err)
			var ready struct{ URL, OrgID, DirectoryID, SCIMDirectoryID, KeyOwner string }
			require.NoError(t, json.Unmarshal(line, &ready))
			require.NotEmpty(t, ready.KeyOwner)

			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
				ready.URL+"/admin/v1/orgs/"+ready.OrgID, nil)
			require.NoError(t, err)
			request.Header.Set("Authorization", "Bearer sim-org-key")
			answer, err := http.DefaultClient.Do(request)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			require.Equal(t, http.StatusOK, answer.StatusCode)
			stop()
			require.NoError(t, <-ended)
		})
	}
}

func TestParse(t *testing.T) {
	env := func(name string) string { return map[string]string{"SIM_ORG_KEY": "k1", "SIM_SCIM_KEY": "k2"}[name] }
	o, err := parse([]string{"--people", "10", "--key", "k3", "--apps", "jira, confluence"}, env)
	require.NoError(t, err)
	require.Equal(t, "k3", o.cloud.Key, "a flag wins")
	require.Equal(t, "k2", o.cloud.SCIMKey)
	require.Equal(t, []string{"jira", "confluence"}, o.cloud.Apps)
	for name, args := range map[string][]string{"nobody": {}, "both": {"--people", "1", "--org", "x"},
		"stray": {"--people", "1", "x"}, "bad": {"--people", "many"}, "past": {"--people", "1", "--lag", "-1s"}} {
		_, err := parse(args, env)
		require.Error(t, err, name)
	}
	require.ErrorContains(t, run(t.Context(), []string{"--org", filepath.Join(t.TempDir(), "none.json")}, env,
		io.Discard), "--org")
}
