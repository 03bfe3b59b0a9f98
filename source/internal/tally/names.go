package tally

import (
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/castellan-io/castellan/source"
)

// Names are globs over the names of groups: * stands for any characters, ? for one; neither case nor whether letters are
// composed matters, as in a policy.
type Names struct {
	patterns []*regexp.Regexp
}

// CompileNames reads globs. None at all match every name.
func CompileNames(globs []string) (Names, error) {
	var names Names
	for _, glob := range globs {
		if glob == "" || len(glob) > source.MaxName {
			return Names{}, fmt.Errorf("%w: a name of groups is empty or longer than %d bytes", source.ErrInvalid,
				source.MaxName)
		}
		pattern := regexp.QuoteMeta(norm.NFC.String(glob))
		pattern = strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(pattern)
		compiled, err := regexp.Compile(`(?is)^` + pattern + `$`)
		if err != nil {
			return Names{}, fmt.Errorf("%w: the name of groups %q cannot be read", source.ErrInvalid, glob)
		}
		names.patterns = append(names.patterns, compiled)
	}
	return names, nil
}

// Match reports whether a glob matches the name.
func (n Names) Match(name string) bool {
	name = norm.NFC.String(name)
	for _, pattern := range n.patterns {
		if pattern.MatchString(name) {
			return true
		}
	}
	return len(n.patterns) == 0
}
