package compose_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
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

// fileIn names the path itself, or some file in it if it is a folder.
func fileIn(path string) string {
	if files, _ := filepath.Glob(filepath.Join(path, "*")); len(files) > 0 {
		return files[0]
	}
	return path
}

// build compiles one of the repository's programs and returns its path.
func build(t *testing.T, folder string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), filepath.Base(folder))
	compile := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./"+folder)
	compile.Dir = root
	output, err := compile.CombinedOutput()
	require.NoError(t, err, string(output))
	return binary
}

func timeOf(t *testing.T, duration *types.Duration) time.Duration {
	t.Helper()
	require.NotNil(t, duration)
	return time.Duration(*duration)
}
