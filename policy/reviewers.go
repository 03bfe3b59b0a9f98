package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/castellan-io/castellan/access"
)

// The words among a stage's reviewers that stand for somebody else with each item.
const (
	ReviewerPerson  = "person"  // who holds it
	ReviewerSponsor = "sponsor" // who asked for the presence of somebody from outside
	ReviewerOwner   = "owner"   // of the target
)

// ReviewerGroup is the name of the group whose members an entry of a stage's reviewers or fallback stands for; ok is false for
// every other entry.
func ReviewerGroup(entry string) (name string, ok bool) {
	return strings.CutPrefix(entry, string(access.KindGroup)+":")
}

// reviewer reads who is asked in a stage.
func reviewer(s string) (string, error) {
	if s == ReviewerPerson {
		return s, nil
	}
	return substitute(s, "person, ")
}

// fallback reads who is asked where a reviewer is gone or silent.
func fallback(s string) (string, error) {
	if s == ReviewerPerson {
		return "", errors.New("who holds it is no fallback: others should look at what nobody has decided; write sponsor, owner, group:<name> or somebody's e-mail address")
	}
	return substitute(s, "")
}

// substitute reads a word for somebody, a group, or a name. What has no digit is a word that nobody knows, and no account id.
func substitute(s, also string) (string, error) {
	if s == ReviewerSponsor || s == ReviewerOwner {
		return s, nil
	}
	if name, is := ReviewerGroup(s); is {
		_, err := wholeName(name)
		return s, err
	}
	if !emailForm.MatchString(s) && (!accountForm.MatchString(s) || !strings.ContainsAny(s, "0123456789")) {
		return "", fmt.Errorf("%q can be asked nothing; write %ssponsor, owner, group:<name>, an e-mail address or an Atlassian account id", shown(s), also)
	}
	return s, nil
}
