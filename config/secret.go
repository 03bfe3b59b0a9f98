package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// KeyPrefix begins the names of the environment variables that hold organizations' keys.
const KeyPrefix = "CASTELLAN_KEY_"

// maxSecret is the largest secret file that is read, in bytes.
const maxSecret = 64 << 10

// Secret is a value that must not be shown. It prints, formats, logs and marshals as "[secret]".
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

// UnmarshalText takes the value as it is.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// Secrets resolves secret references, the only form in which a policy may name a secret. The operator of the worker
// decides which organization may use which reference; for the organization acme-eu that is
//
//	env:CASTELLAN_KEY_ACME_EU                the variable of its name: upper case, with _ for -
//	file:/run/secrets/castellan/acme-eu      the file of its name in Dir
//	file:/run/secrets/castellan/acme-eu/scim any file in the folder of its name in Dir
//	                                         what Of says
//
// and nothing else. What Of gives to some organizations is theirs alone, whatever its name. So the authors of policies
// can use neither another organization's secrets nor any others of the machine.
//
// Hosts says which of the secrets are for identity sources, and where each may be sent. One that is there is for
// nothing else, and one that is not is for no source.
type Secrets struct {
	Dir   string                         // absolute
	Of    map[string][]string            // references by organization
	Hosts map[string]map[string][]string // HOST:PORT in lower case, by organization and reference, all of which Of has
}

// Resolve returns the secret that ref refers to for the organization, without surrounding white space. It reads again
// at every call, so a rotated key is found without a restart.
//
// A file must be regular, lie in the folder even after its symbolic links are followed, hold at most 64 KiB, and be one
// line. Errors give the reference and what to do, never a value.
func (s Secrets) Resolve(org, ref string) (Secret, error) {
	return s.resolve(org, ref, clean, func() error { return s.checkUnbound(org, ref) })
}

// ResolveLines is Resolve for what may have several lines: certificates, or a secret and its successor.
func (s Secrets) ResolveLines(org, ref string) (Secret, error) {
	return s.resolve(org, ref, cleanLines, func() error { return s.checkUnbound(org, ref) })
}

// checkUnbound refuses secrets that are for identity sources alone.
func (s Secrets) checkUnbound(org, ref string) error {
	if len(s.Hosts[org][ref]) > 0 {
		return errors.New("it is an identity source's alone, as CASTELLAN_SECRET_HOSTS says: name another one here")
	}
	return nil
}

// ResolveFor is Resolve for a secret that an identity source sends to these hosts, each a HOST or HOST:PORT as in the
// source's URL; the port is 443 where there is none. It returns the secret only if Hosts allows it for all of them, so
// that whoever may edit a policy cannot have a secret sent elsewhere. A key or certificate may have several lines.
func (s Secrets) ResolveFor(org, ref string, hosts ...string) (Secret, error) {
	return s.resolve(org, ref, cleanLines, func() error { return s.checkHosts(org, ref, hosts) })
}

func (s Secrets) resolve(org, ref string, clean func(string) (string, error), permit func() error) (Secret, error) {
	kind, rest, _ := strings.Cut(ref, ":")
	if kind != "env" && kind != "file" {
		// It may be the secret itself, so it is not quoted.
		return Secret{}, fmt.Errorf("this is not a secret reference: write %s or file:%s, never the secret itself",
			EnvReference(org), filepath.Join(s.Dir, org))
	}
	value, err := "", permit()
	if err == nil {
		value, err = s.read(org, kind, rest)
	}
	if err == nil {
		value, err = clean(value)
	}
	if err != nil {
		return Secret{}, fmt.Errorf("secret %s of organization %s: %w", ref, org, err)
	}
	return NewSecret(value), nil
}

// read returns what the organization's reference refers to, as it is.
func (s Secrets) read(org, kind, rest string) (string, error) {
	root, names, err := s.locate(org, kind, rest)
	switch {
	case err != nil:
		return "", err
	case kind == "env":
		return fromEnvironment(rest)
	}
	return readFile(root, names...)
}

// EnvReference returns the reference to the environment variable that holds the organization's key.
func EnvReference(org string) string {
	return "env:" + KeyPrefix + strings.ToUpper(strings.ReplaceAll(org, "-", "_"))
}

// locate checks that the organization may use the reference and, for a file, returns the folder that it must lie in and
// its path below, as folders and a file name: a symbolic link may lead out of none of them.
func (s Secrets) locate(org, kind, rest string) (root string, names []string, err error) {
	ref := kind + ":" + rest
	if slices.Contains(s.Of[org], ref) {
		return filepath.Dir(rest), []string{filepath.Base(rest)}, nil
	}
	if org == "" || strings.ContainsAny(org, "/_.") || s.assigned(ref) {
		return "", nil, s.refusal(org, ref)
	}
	if kind == "env" {
		if ref != EnvReference(org) {
			return "", nil, s.refusal(org, ref)
		}
		return "", nil, nil
	}
	own := filepath.Join(s.Dir, org)
	if rest == own {
		return s.Dir, []string{org}, nil
	}
	name, below := strings.CutPrefix(rest, own+"/")
	if !below || filepath.Clean(rest) != rest || !filepath.IsLocal(name) {
		return "", nil, s.refusal(org, ref)
	}
	return s.Dir, []string{org, name}, nil
}

// assigned reports whether Of gives the reference to any organization.
func (s Secrets) assigned(ref string) bool {
	for _, refs := range s.Of {
		if slices.Contains(refs, ref) {
			return true
		}
	}
	return false
}

func (s Secrets) refusal(org, ref string) error {
	return fmt.Errorf("the organization may not use it: put its key where %s or file:%s finds it and write that in the policy, or have whoever runs the worker set CASTELLAN_SECRETS=%s=%s",
		EnvReference(org), filepath.Join(s.Dir, org), org, ref)
}

// secretMap parses CASTELLAN_SECRETS: ORGANIZATION=REFERENCE, as often as needed.
func secretMap(pairs []string) (map[string][]string, error) {
	of := map[string][]string{}
	for _, pair := range pairs {
		org, ref, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if !orgForm.MatchString(org) {
			return nil, fmt.Errorf("%.50q is no organization's name", org)
		}
		if !isReference(ref) {
			return nil, fmt.Errorf("what stands for organization %s is no reference", org)
		}
		of[org] = append(of[org], ref)
	}
	return of, nil
}

// isReference reports whether ref is one that may be given to an organization: none to the worker's own settings.
func isReference(ref string) bool {
	kind, rest, _ := strings.Cut(ref, ":")
	switch kind {
	case "env":
		return envForm.MatchString(rest) &&
			(strings.HasPrefix(rest, KeyPrefix) || !strings.HasPrefix(rest, "CASTELLAN_"))
	case "file":
		return filepath.IsAbs(rest) && filepath.Clean(rest) == rest
	}
	return false
}

var (
	orgForm = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	envForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,199}$`)
)

func fromEnvironment(name string) (string, error) {
	value, set := os.LookupEnv(name)
	if !set {
		return "", errors.New("the worker's environment has no such variable: set it and restart the worker")
	}
	return value, nil
}

// readSecret reads the file of a name in a folder, which holds one line.
func readSecret(dir, name string) (string, error) {
	value, err := readFile(dir, name)
	if err != nil {
		return "", err
	}
	return clean(value)
}

// readFile reads the file of the last name in the folders of the others, below dir; os.Root refuses a symbolic link
// that leads out of any of them.
func readFile(dir string, names ...string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", readable(err, dir)
	}
	defer func() { _ = root.Close() }()
	for _, folder := range names[:len(names)-1] {
		inner, err := root.OpenRoot(folder)
		if err != nil {
			return "", readable(err, dir)
		}
		_ = root.Close()
		root = inner
	}
	name := names[len(names)-1]
	info, err := root.Stat(name) // before opening: opening a named pipe would wait for its writer
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
	return string(content), nil
}

// readable returns an error that says what to do about the operating system's.
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

// clean trims what editors and echo add to a secret, and refuses what cannot be one.
func clean(value string) (string, error) {
	return trimmed(value, unicode.IsControl, "it must be one line of text")
}

// cleanLines is clean for what may have several lines.
func cleanLines(value string) (string, error) {
	return trimmed(value, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }, "it must be text")
}

func trimmed(value string, unfit func(rune) bool, says string) (string, error) {
	value = strings.TrimSpace(strings.TrimPrefix(value, "\ufeff")) // a byte order mark
	switch {
	case value == "":
		return "", errors.New("it is empty")
	case strings.ContainsFunc(value, unfit):
		return "", errors.New(says)
	}
	return value, nil
}
