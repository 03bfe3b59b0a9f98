// Package scim_test reads from a SCIM service of somebody else's: scimmy-routers, by npm.
package scim_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/scim"
)

const (
	people = 1000
	groups = 20
	token  = "made-up-token"
)

// install puts the service with its dependencies into a folder of its own.
func install(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CASTELLAN_REQUIRE_SERVERS") == "1" {
				t.Fatalf("%s is not installed: apt-get install nodejs npm", program)
			}
			t.Skipf("%s is not installed: apt-get install nodejs npm", program)
		}
	}
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("service")))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	npm.Dir = dir
	out, err := npm.CombinedOutput()
	require.NoError(t, err, string(out))
	return dir
}

// serve starts the service with a version of Express and returns its URL.
func serve(t *testing.T, dir, express string) string {
	t.Helper()
	node := exec.Command("node", filepath.Join(dir, "service.mjs"), express, fmt.Sprint(people), fmt.Sprint(groups),
		token)
	node.Stderr = os.Stderr
	node.WaitDelay = time.Minute
	input, err := node.StdinPipe()
	require.NoError(t, err)
	output, err := node.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, node.Start())
	t.Cleanup(func() {
		_ = input.Close() // it ends by itself
		_ = node.Wait()
	})
	port, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	return "http://127.0.0.1:" + strings.TrimSpace(port) + "/scim"
}

func reader(t *testing.T, url, secret string) *scim.Reader {
	t.Helper()
	r, err := scim.New(scim.Options{URL: url, Timeout: 5 * time.Minute, // a busy machine answers slowly
		Secret: func(context.Context) (string, error) { return secret, nil }})
	require.NoError(t, err)
	return r
}

func TestSCIM(t *testing.T) {
	dir := install(t)
	t.Run("Express 4", func(t *testing.T) { readsEverybody(t, serve(t, dir, "express")) })
	t.Run("Express 5", func(t *testing.T) { refusesToBelieve(t, serve(t, dir, "express5")) })
}

func readsEverybody(t *testing.T, url string) {
	r := reader(t, url, token)
	shown, members, disabled := map[string]source.Identity{}, map[string][]string{}, 0
	proof, err := r.Read(t.Context(), func(page source.Page) error {
		for _, p := range page.People {
			shown[p.Key] = p
			if !*p.Enabled {
				disabled++
			}
		}
		for _, g := range page.Groups {
			members[g.Key] = g.Members
		}
		return nil
	})
	require.NoError(t, err)
	require.Len(t, shown, people)
	require.Len(t, members, groups)
	require.Equal(t, people/10, disabled)
	require.Equal(t, people, *proof.Declared)
	require.Equal(t, "person17@acme.example", shown["user-17"].Attributes["userName"])
	memberships := 0
	for g := range groups {
		want := []string{}
		for i := range people {
			if i%groups == g || g == 0 && i%7 == 0 {
				want = append(want, fmt.Sprintf("user-%d", i))
			}
		}
		slices.Sort(want)
		require.Equal(t, want, members[fmt.Sprintf("group-%d", g)])
		memberships += len(want)
	}
	require.Equal(t, memberships, proof.Memberships)

	found, err := r.Lookup(t.Context(), "user-19")
	require.NoError(t, err)
	require.Equal(t, shown["user-19"], found)
	_, err = r.Lookup(t.Context(), "user-1000")
	require.ErrorIs(t, err, source.ErrGone)

	for _, wrong := range []*scim.Reader{reader(t, url, "another-token"), reader(t, url+"/v3/v2", token)} {
		_, err = wrong.Read(t.Context(), func(source.Page) error { return nil })
		require.Error(t, err)
		_, err = wrong.Lookup(t.Context(), "user-1000")
		require.Error(t, err)
		require.NotErrorIs(t, err, source.ErrGone)
	}
}

// refusesToBelieve: with Express 5 this version ignores startIndex, and shows the first page again and again.
func refusesToBelieve(t *testing.T, url string) {
	r := reader(t, url, token)
	shown := map[string]bool{}
	proof, err := r.Read(t.Context(), func(page source.Page) error {
		for _, p := range page.People {
			shown[p.Key] = true
		}
		return nil
	})
	require.ErrorIs(t, err, source.ErrIncomplete)
	require.ErrorContains(t, err, "was shown twice")
	require.Zero(t, proof)
	require.Less(t, len(shown), people)
	_, err = r.Lookup(t.Context(), "user-999") // nobody is gone for not having been shown
	require.NoError(t, err)
}
