package form

import (
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/policy/internal/strictyaml"
	"github.com/castellan-io/castellan/policy/window"
)

// Duration reads a duration between two bounds.
func Duration(r *strictyaml.Reader, into *window.Duration, least, most window.Duration) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		d := *into
		before := r.Count()
		r.Value(&d)(n, path)
		switch {
		case r.Count() > before:
		case d < least || d > most:
			r.Fail(n, path, "%s is out of bounds; write a duration from %s to %s", d, least, most)
		default:
			*into = d
		}
	}
}

var envReference = regexp.MustCompile(`^env:[A-Za-z_][A-Za-z0-9_]{0,199}$`)

// Secret reads a reference to a secret. What stands there may be the secret itself, so no error repeats it.
func Secret(r *strictyaml.Reader, into *string) strictyaml.Field {
	return func(n *yaml.Node, where string) {
		file, isFile := strings.CutPrefix(n.Value, "file:")
		isFile = isFile && IsAbsolute(file)
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && (envReference.MatchString(n.Value) || isFile) {
			if s, ok := r.Scalar(n, where); ok {
				*into = s
			}
			return
		}
		r.Fail(n, where, "this is not a reference to a secret; write env:NAME or file:/path, and if a key stood here, make a new one, since it may have been seen")
	}
}

// IsAbsolute reports whether a text is the clean absolute path of something below the root.
func IsAbsolute(s string) bool {
	return path.IsAbs(s) && path.Clean(s) == s && s != "/" && len(s) <= 1000
}
