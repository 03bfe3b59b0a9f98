package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// KeyPrefix begins the name of every environment variable that a policy may refer to.
const KeyPrefix = "CASTELLAN_KEY_"

// maxSecret is the largest secret file that is read, in bytes.
const maxSecret = 64 << 10

// Secret is a value that must not be seen. Whatever prints, formats, logs or marshals it gets "[secret]".
type Secret struct {
	value *string // a pointer, so that even a printer that ignores the methods below shows only an address
}

const hidden = "[secret]"

// NewSecret wraps a value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal returns the value, for the one call that needs it.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// String hides the value.
func (s Secret) String() string { return hidden }

// GoString hides the value from %#v.
func (s Secret) GoString() string { return hidden }

// MarshalText hides the value from encoding/json, YAML and structured loggers.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// UnmarshalText takes the value as it stands.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// Secrets resolves secret references, the only form in which a policy may speak of a secret:
//
//	env:CASTELLAN_KEY_ACME        an environment variable whose name begins with CASTELLAN_KEY_
//	file:/run/secrets/acme-key    a file below Dir
//
// Both limits keep whoever writes policies from pointing Castellan at other secrets of the machine.
type Secrets struct {
	Dir string // absolute
}

// Resolve returns the secret that ref refers to, without the white space around it. It reads anew at every call, so a
// rotated key is found without a restart.
//
// A file must be regular, lie below Dir also after following symbolic links, hold at most 64 KiB, and be one line.
// Errors name the reference and what to do, never a value.
func (s Secrets) Resolve(ref string) (Secret, error) {
	kind, rest, _ := strings.Cut(ref, ":")
	var value string
	var err error
	switch kind {
	case "env":
		value, err = fromEnvironment(rest)
	case "file":
		value, err = s.fromFile(rest)
	default:
		// What stands here may be the secret itself, so it is not quoted.
		return Secret{}, fmt.Errorf("this is not a secret reference: write env:%sNAME or file:%s/NAME, never the secret itself", KeyPrefix, s.Dir)
	}
	if err != nil {
		return Secret{}, fmt.Errorf("secret %s: %w", ref, err)
	}
	return NewSecret(value), nil
}

func fromEnvironment(name string) (string, error) {
	if !strings.HasPrefix(name, KeyPrefix) || name == KeyPrefix {
		return "", fmt.Errorf("only environment variables that begin with %s can be referred to", KeyPrefix)
	}
	value, set := os.LookupEnv(name)
	if !set {
		return "", errors.New("the worker's environment has no such variable: set it and restart the worker")
	}
	return clean(value)
}

func (s Secrets) fromFile(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", errors.New("write the file's absolute path")
	}
	name, err := filepath.Rel(s.Dir, filepath.Clean(path))
	if err != nil || !filepath.IsLocal(name) || name == "." {
		return "", fmt.Errorf("the file must lie below %s (CASTELLAN_SECRETS_DIR)", s.Dir)
	}
	return readSecret(s.Dir, name)
}

// readSecret reads the file name below dir; os.Root refuses a symbolic link that leads out of dir.
func readSecret(dir, name string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", readable(err, dir)
	}
	defer root.Close()
	info, err := root.Stat(name) // before opening: to open a named pipe would wait for its writer
	if err != nil {
		return "", readable(err, dir)
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("not a regular file")
	}
	file, err := root.Open(name)
	if err != nil {
		return "", readable(err, dir)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", readable(err, dir)
	}
	if len(content) > maxSecret {
		return "", fmt.Errorf("larger than %d KiB: not a secret", maxSecret>>10)
	}
	return clean(string(content))
}

// readable turns the operating system's error into one that says what to do.
func readable(err error, dir string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("no such file: create it on the worker's machine, or mend the reference")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("the worker's user may not read it")
	default:
		return fmt.Errorf("cannot be read below %s (a symbolic link may not lead out of it): %w", dir, err)
	}
}

// clean trims what editors and echo leave around a secret, and refuses what cannot be one.
func clean(value string) (string, error) {
	value = strings.TrimSpace(value)
	if value == "" {
		return "", errors.New("it is empty")
	}
	if strings.ContainsFunc(value, unicode.IsControl) {
		return "", errors.New("it must be one line of text")
	}
	return value, nil
}
