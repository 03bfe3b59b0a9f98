// Package globs matches the names of groups, for all kinds of sources alike.
package globs

import (
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/castellan-io/castellan/source"
)

// Globs match names: * stands for any characters, ? for one; neither case nor whether letters are composed matters, as
// in a policy.
type Globs struct {
	patterns []*regexp.Regexp
}

// Compile reads globs. None at all match every name.
func Compile(texts []string) (Globs, error) {
	var all Globs
	for _, glob := range texts {
		if glob == "" || len(glob) > source.MaxName {
			return Globs{}, fmt.Errorf("%w: a name of groups is empty or longer than %d bytes", source.ErrInvalid,
				source.MaxName)
		}
		pattern := regexp.QuoteMeta(norm.NFC.String(glob))
		pattern = strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(pattern)
		compiled, err := regexp.Compile(`(?is)^` + pattern + `$`)
		if err != nil {
			return Globs{}, fmt.Errorf("%w: the name of groups %q cannot be read", source.ErrInvalid, glob)
		}
		all.patterns = append(all.patterns, compiled)
	}
	return all, nil
}

// Match reports whether a glob matches the name.
func (g Globs) Match(name string) bool {
	name = norm.NFC.String(name)
	for _, pattern := range g.patterns {
		if pattern.MatchString(name) {
			return true
		}
	}
	return len(g.patterns) == 0
}
