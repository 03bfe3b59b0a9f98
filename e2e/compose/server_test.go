package compose_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// The end-to-end tests run on the server that Compose ships too: a module of its own says how that version is built.
func TestTestsRunOnTheServerThatIsShipped(t *testing.T) {
	files := []string{filepath.Join(root, "docker-compose.yml")}
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "deploy"),
		func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Name() == "Dockerfile" {
				files = append(files, path)
			}
			return err
		}))
	shipped := map[string]bool{}
	for _, file := range files {
		for _, version := range versions(t, file, `temporalio/server:([0-9.]+)`) {
			shipped[version] = true
		}
	}
	built := versions(t, filepath.Join(root, "tools", "server", "go.mod"), `(?m)^\s*go\.temporal\.io/server v(\S+)`)
	require.Len(t, built, 1)
	require.Equal(t, map[string]bool{built[0]: true}, shipped)
}

// versions returns what a pattern finds in a file.
func versions(t *testing.T, file, pattern string) (found []string) {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(data), -1) {
		found = append(found, match[1])
	}
	return found
}
