package compose_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
)

// read returns the content of a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(content)
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, path))
	require.NoError(t, err)
	return path
}

// projectFolder copies what Compose and the scripts beside it read, without anybody's own settings and secrets.
func projectFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(folder, "deploy"), os.DirFS(filepath.Join(root, "deploy"))))
	require.NoError(t, os.RemoveAll(filepath.Join(folder, "deploy/secrets")))
	for _, name := range []string{"deploy/castellan.env", "deploy/proxy.env"} {
		require.NoError(t, os.RemoveAll(filepath.Join(folder, name)))
	}
	for _, name := range []string{"docker-compose.yml", "Dockerfile"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(read(t, name)), 0o600))
	}
	return folder
}

// build builds one of the repository's programs and returns its path.
func build(t *testing.T, folder string) string {
	t.Helper()
	dir, err := stack.Programs(t.Context(), t.TempDir(), folder)
	require.NoError(t, err)
	return filepath.Join(dir, filepath.Base(folder))
}

func timeOf(t *testing.T, duration *types.Duration) time.Duration {
	t.Helper()
	require.NotNil(t, duration)
	return time.Duration(*duration)
}
