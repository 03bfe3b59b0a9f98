package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/castellan-io/castellan/access"
)

// pattern is a group name or a glob over group names. * stands for any characters, none included, and ? for exactly
// one; neither case nor whether letters are composed matters. There is no escape: Atlassian group names hold neither.
type pattern struct {
	text  []rune // folded
	stars int
	glob  bool
}

// compile reads a pattern. The error says what to write instead.
func compile(s string) (pattern, error) {
	if err := groupName(s); err != nil {
		return pattern{}, err
	}
	if strings.Contains(s, "**") {
		return pattern{}, errors.New("** means the same as *; write one star")
	}
	return pattern{text: lower(s), stars: strings.Count(s, "*"), glob: strings.ContainsAny(s, "*?")}, nil
}

// groupName says what is wrong with a name or glob of a group.
func groupName(s string) error {
	switch {
	case s == "":
		return errors.New("the name is empty; write a group name or a glob such as eng-*")
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("%q begins or ends with a space; take the space away", s)
	case utf8.RuneCountInString(s) > maxName:
		return fmt.Errorf("the name is longer than %d characters; shorten it", maxName)
	}
	return nil
}

// lower folds a name.
func lower(s string) []rune { return []rune(access.Fold(s)) }

// SameName reports whether two writings name the same group.
func SameName(a, b string) bool { return slices.Equal(lower(a), lower(b)) }

// match says whether the folded name matches.
func (p pattern) match(name []rune) bool {
	at, star, resume := 0, -1, 0 // position in the pattern, the last star passed, where it took up the name
	for i := 0; i < len(name); {
		switch {
		case at < len(p.text) && p.text[at] == '*':
			star, resume = at, i
			at++
		case at < len(p.text) && (p.text[at] == '?' || p.text[at] == name[i]):
			at++
			i++
		case star >= 0: // let the last star take one more
			resume++
			at, i = star+1, resume
		default:
			return false
		}
	}
	for at < len(p.text) && p.text[at] == '*' {
		at++
	}
	return at == len(p.text)
}

// capture is what the pattern's single star stands for in a name that matches.
func (p pattern) capture(name string) string {
	runes := []rune(access.Compose(name))
	// letters that are composed in lower case alone: the places differ
	if folded := lower(name); len(folded) != len(runes) {
		runes = folded
	}
	for i, r := range p.text {
		if r == '*' {
			return string(runes[i : len(runes)-(len(p.text)-i-1)])
		}
	}
	return ""
}
