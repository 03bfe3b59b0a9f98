package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/castellan-io/castellan/source"
)

// place is where the files are. Its errors are of the kinds of package source.
type place interface {
	fmt.Stringer // for people and for the proof
	// manifest returns the manifest as it is now. Hint: the server may confirm the last one instead of sending it.
	manifest(ctx context.Context, hint bool) ([]byte, error)
	open(ctx context.Context, name string) (io.ReadSeekCloser, error)
}

// folder is one of the worker's machine.
type folder struct{ root, path string }

func newFolder(o Options) (place, error) {
	if !filepath.IsAbs(o.Root) {
		return nil, fmt.Errorf("%.100q is not an absolute path", o.Root)
	}
	if o.Folder == "" {
		o.Folder = "."
	}
	if !filepath.IsLocal(o.Folder) {
		return nil, fmt.Errorf("%.100q is not a folder below %s", o.Folder, o.Root)
	}
	return folder{o.Root, filepath.Clean(o.Folder)}, nil
}

func (f folder) String() string { return filepath.Join(f.root, f.path) }

func (f folder) manifest(ctx context.Context, _ bool) ([]byte, error) {
	from, err := f.open(ctx, manifestName)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	text, err := io.ReadAll(io.LimitReader(from, maxManifest+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("file: %w: %s: %w", source.ErrUnavailable, f, err)
	case len(text) > maxManifest:
		return nil, malformed(manifestName, "larger than %d bytes", maxManifest)
	}
	return text, nil
}

// open has os.Root refuse symbolic links that lead out of the root.
func (f folder) open(ctx context.Context, name string) (io.ReadSeekCloser, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	root, err := os.OpenRoot(f.root)
	if err != nil {
		return nil, f.failed(".", err)
	}
	defer func() { _ = root.Close() }()
	if _, err = root.Stat(f.path); err != nil {
		return nil, f.failed(".", err)
	}
	from, err := root.OpenFile(filepath.Join(f.path, name), os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would block
	if err != nil {
		return nil, f.failed(name, err)
	}
	info, err := from.Stat()
	if err == nil && info.Mode().IsRegular() {
		return from, nil
	}
	_ = from.Close()
	if err != nil {
		return nil, f.failed(name, err)
	}
	return nil, fmt.Errorf("file: %w: %s in %s is not a file", source.ErrInvalid, name, f)
}

// failed: a file that is not there is one that the export has not written yet.
func (f folder) failed(name string, err error) error {
	var code syscall.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist) && name == ".":
		return fmt.Errorf("file: %w: there is no folder %s on the worker's machine: see whether it is mounted",
			source.ErrUnavailable, f)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("file: %w: there is no %s in %s", source.ErrIncomplete, name, f)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("file: %w: the worker's user may not read %s in %s", source.ErrForbidden, name, f)
	case errors.As(err, &code):
		return fmt.Errorf("file: %w: %s in %s: %w", source.ErrUnavailable, name, f, err)
	}
	return fmt.Errorf("file: %w: %s in %s (a symbolic link may not lead out of %s): %w", source.ErrInvalid, name, f,
		f.root, err)
}
