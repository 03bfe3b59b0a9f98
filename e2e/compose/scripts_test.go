package compose_test

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// fakeDocker answers as Docker and Compose would where everything is as it should be, and logs what it was asked.
const fakeDocker = `#!/bin/sh
echo "$*" >>docker.log
case "$*" in
*"version --short") echo "${FAKE_VERSION:-v2.26.1}" ;;
*" up "*) exit "${FAKE_UP:-0}" ;;
*" ps --all "*) cat <<-'END' ;;
	databases|castellan-databases-1|exited||1
	temporal-schema|castellan-temporal-schema-1|exited||0
	temporal|castellan-temporal-1|created||0
	worker|castellan-worker-1|running|healthy|0
	END
"inspect "*) echo "exited, exit code 1" ;;
"logs "*) echo "last words of $4" ;;
*imagetools*) for image; do :; done; echo "sha256:$(printf '%s' "$image$FAKE_DIGEST" | sha256sum | cut -d ' ' -f 1)" ;;
esac
`

// script runs one of the project's scripts in a copy of it, with a strict umask and Docker faked.
func script(t *testing.T, folder, name string, environment ...string) (string, error) {
	t.Helper()
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "docker"), []byte(fakeDocker), 0o700))
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "umask 077 && exec "+name)
	cmd.Dir = folder
	cmd.Env = append(append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH")), environment...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestUpOpensSecretsToTheContainersAndNobodyElse(t *testing.T) {
	folder := projectFolder(t)
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "deploy/secrets/keys/acme"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "deploy/secrets/keys/acme/org"), []byte("key"), 0o600))
	var made string
	for range 2 {
		out, err := script(t, folder, "deploy/up.sh", "COMPOSE_PROFILES=reviews", "WORKERS=3")
		require.NoError(t, err, out)
		require.NotContains(t, out, "no Atlassian API key")
		for path, mode := range map[string]fs.FileMode{
			"": 0o700, "keys": 0o755, "keys/acme": 0o755, "keys/acme/org": 0o644, "worker": 0o755,
			"worker/review-key": 0o644,
		} {
			info, err := os.Stat(filepath.Join(folder, "deploy/secrets", path))
			require.NoError(t, err)
			require.Equal(t, mode, info.Mode().Perm(), path)
		}
		key, err := os.ReadFile(filepath.Join(folder, "deploy/secrets/worker/review-key"))
		require.NoError(t, err)
		require.Regexp(t, `^[0-9a-f]{64}$`, string(key))
		if made != "" {
			require.Equal(t, made, string(key), "a second start must not end reviewers' links")
		}
		made = string(key)
	}
	asked, err := os.ReadFile(filepath.Join(folder, "docker.log"))
	require.NoError(t, err)
	require.Contains(t, string(asked), "compose up --build --detach --wait --wait-timeout 300\n")
}

// TestPlainComposeStartsWhatWasChosen: "docker compose up" after "make up SIM=1" must not point the worker at
// Atlassian.
func TestPlainComposeStartsWhatWasChosen(t *testing.T) {
	folder := projectFolder(t)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "Makefile"), []byte(read(t, "Makefile")), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, ".env"), []byte("REVIEWS_PUBLISH=127.0.0.1:443\nWORKERS=9\n"),
		0o600))
	for command, want := range map[string]struct {
		url, profiles string
		workers       int
	}{
		"make up SIM=1 WORKERS=3": {"https://simulator:8443", "simulator,reviews", 3},
		"make up REVIEWS=1":       {"https://api.atlassian.com", "reviews", 1},
		"make up":                 {"https://api.atlassian.com", "", 1},
	} {
		out, err := script(t, folder, command)
		require.NoError(t, err, out)
		options, err := cli.NewProjectOptions([]string{filepath.Join(folder, "docker-compose.yml")},
			cli.WithWorkingDirectory(folder),
			cli.WithEnvFiles(), cli.WithDotEnv, cli.WithDefaultProfiles())
		require.NoError(t, err)
		project, err := options.LoadProject(t.Context())
		require.NoError(t, err)
		require.Equal(t, want.url, *project.Services["worker"].Environment["CASTELLAN_ATLASSIAN_URL"], command)
		require.Equal(t, want.workers, *project.Services["worker"].Scale, command)
		for _, profile := range []string{"simulator", "reviews"} {
			on := slices.ContainsFunc(slices.Collect(maps.Values(project.Services)),
				func(s types.ServiceConfig) bool { return slices.Contains(s.Profiles, profile) })
			require.Equal(t, strings.Contains(want.profiles, profile), on, "%s: %s", command, profile)
		}
		require.Contains(t, project.Environment, "REVIEWS_PUBLISH", "lines of one's own stay")
	}
}

func TestUpSaysWhatIsWrong(t *testing.T) {
	folder := projectFolder(t)
	out, err := script(t, folder, "deploy/up.sh", "FAKE_VERSION=2.20.0")
	require.Error(t, err)
	require.Contains(t, out, "Docker Compose 2.20.0 is too old")

	out, err = script(t, folder, "deploy/up.sh", "FAKE_UP=1")
	require.Error(t, err)
	require.Contains(t, out, "no Atlassian API key yet")
	require.Contains(t, out, "databases: exited, exit code 1\n    last words of castellan-databases-1\n")
	for _, well := range []string{"temporal-schema", "temporal", "worker"} {
		require.NotContains(t, out, "castellan-"+well+"-1", "it is well, or waits for another")
	}
}

func TestPinNamesDigestsAndNewOnes(t *testing.T) {
	folder := projectFolder(t)
	files := []string{"docker-compose.yml", "Dockerfile", "deploy/postgres/Dockerfile", "deploy/temporal/Dockerfile",
		"deploy/proxy/Dockerfile"}
	before := contents(t, folder, files)
	var last string
	for _, digest := range []string{"first", "second"} {
		out, err := script(t, folder, "deploy/pin.sh", "FAKE_DIGEST="+digest)
		require.NoError(t, err, out)
		require.Equal(t, 6, strings.Count(out, "\n"), out)
		pinned := contents(t, folder, files)
		require.NotEqual(t, last, pinned)
		last = pinned
		for line := range strings.Lines(out) {
			image, digest, _ := strings.Cut(strings.TrimSpace(line), "@")
			require.Contains(t, pinned, " "+image+"@"+digest)
			require.NotContains(t, pinned, " "+image+"\n")
			pinned = strings.ReplaceAll(pinned, image+"@"+digest, image)
		}
		require.Equal(t, before, pinned, "nothing else changes")
	}
	loadFrom(t, folder)
}

func contents(t *testing.T, folder string, files []string) (all string) {
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		all += string(text)
	}
	return all
}

// TestLineEndsAreLFInEveryClone checks .gitattributes in a repository of its own, as Git for Windows is set by default.
func TestLineEndsAreLFInEveryClone(t *testing.T) {
	folder := t.TempDir()
	git := func(arguments ...string) {
		cmd := exec.CommandContext(t.Context(), "git",
			append([]string{"-c", "core.autocrlf=true", "-c", "user.name=t", "-c", "user.email=t@t"}, arguments...)...)
		cmd.Dir = folder
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	git("init", "--quiet", "one")
	one := filepath.Join(folder, "one")
	require.NoError(t, os.WriteFile(filepath.Join(one, ".gitattributes"), []byte(read(t, ".gitattributes")), 0o600))
	for _, name := range []string{"start.sh", "Caddyfile", "worker.env", "x.go"} {
		require.NoError(t, os.WriteFile(filepath.Join(one, name), []byte("one\ntwo\n"), 0o600))
	}
	git("-C", "one", "add", ".")
	git("-C", "one", "commit", "--quiet", "--message", "x")
	git("clone", "--quiet", "one", "two")
	for _, name := range []string{"start.sh", "Caddyfile", "worker.env", "x.go"} {
		text, err := os.ReadFile(filepath.Join(folder, "two", name))
		require.NoError(t, err)
		require.Equal(t, "one\ntwo\n", string(text), name)
	}
}
