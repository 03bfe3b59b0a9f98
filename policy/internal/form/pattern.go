package form

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/castellan-io/castellan/access"
)

// Pattern is a group name or a glob over group names. * stands for any characters, none included, and ? for exactly
// one; neither case nor whether letters are composed matters. There is no escape: Atlassian group names hold neither.
type Pattern struct {
	text []rune // folded
	glob bool
}

// Compile reads a pattern. The error says what to write instead.
func Compile(s string) (Pattern, error) {
	if err := CheckGroup(s); err != nil {
		return Pattern{}, err
	}
	if strings.Contains(s, "**") {
		return Pattern{}, errors.New("** means the same as *; write one star")
	}
	return Pattern{text: Fold(s), glob: strings.ContainsAny(s, "*?")}, nil
}

// CheckGroup returns what is wrong with a name or glob of a group.
func CheckGroup(s string) error {
	switch {
	case s == "":
		return errors.New("the name is empty; write a group name or a glob such as eng-*")
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("%q begins or ends with a space; take the space away", s)
	case utf8.RuneCountInString(s) > maxGroup:
		return fmt.Errorf("the name is longer than %d characters; shorten it", maxGroup)
	}
	return nil
}

// maxGroup is how many characters the name of a group has at most.
const maxGroup = 255

// Fold returns the form of a name that patterns match.
func Fold(s string) []rune { return []rune(access.Fold(s)) }

// Glob reports whether the pattern may match several names.
func (p Pattern) Glob() bool { return p.glob }

// Match reports whether the folded name matches.
func (p Pattern) Match(name []rune) bool {
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

// Capture returns what the pattern's single star stands for in a name that matches.
func (p Pattern) Capture(name string) string {
	runes := []rune(access.Compose(name))
	// letters that are composed in lower case alone: the places differ
	if folded := Fold(name); len(folded) != len(runes) {
		runes = folded
	}
	for i, r := range p.text {
		if r == '*' {
			return string(runes[i : len(runes)-(len(p.text)-i-1)])
		}
	}
	return ""
}

// Match reports whether any of the patterns matches the folded name.
func Match(patterns []Pattern, folded []rune) bool {
	for _, p := range patterns {
		if p.Match(folded) {
			return true
		}
	}
	return false
}
