package access

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

var (
	addressForm = regexp.MustCompile(`^[^@\s"(),:;<>\[\\\]` + "`" + `]{1,64}@[^@\s"'(),:;<>\[\\\]` + "`" + `]{1,190}$`)
	accountForm = regexp.MustCompile(`^[A-Za-z0-9:_-]{1,128}$`)
)

// IsAddress reports whether a person's name is an e-mail address; an account ID has no @.
func IsAddress(name string) bool { return strings.Contains(name, "@") }

// FoldName returns the form in which names of people are compared: an account ID is compared as it is.
func FoldName(name string) string {
	if IsAddress(name) {
		return FoldAddress(name)
	}
	return name
}

// ReadName reads the name of a person that somebody typed: one e-mail address or one account ID, and nothing else.
func ReadName(typed string) (string, error) {
	name := strings.TrimSpace(typed)
	hidden := strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) })
	switch {
	case name == "":
		return "", errors.New("nobody is named: write an e-mail address or an Atlassian account id")
	case hidden || !addressForm.MatchString(name) && !accountForm.MatchString(name):
		return "", fmt.Errorf("%q names nobody: write one e-mail address, or one Atlassian account id, and nothing else", clip(name, 100))
	}
	return name, nil
}

// clip shortens typed text for an error.
func clip(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
