package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
)

// The words among a stage's reviewers that stand for somebody else with each item.
const (
	ReviewerPerson  = "person"  // who holds it
	ReviewerSponsor = "sponsor" // who asked for the presence of somebody from outside
	ReviewerOwner   = "owner"   // of the target
)

// ReviewerGroup is the name of the group whose members an entry of a stage's reviewers or fallback stands for; ok is
// false for every other entry.
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

// substitute reads a word for somebody, a group, or a name. What has no digit is a word that nobody knows, and no
// account id.
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

// The words for whom reviewers may hand items on to.
const (
	DelegateManaged = "managed" // whose account the organization manages: its own people
	DelegateAnybody = "anybody" // whoever is active in the directory, people from outside too
)

// delegate reads whom reviewers may hand items on to.
func delegate(s string) (string, error) {
	if s == DelegateManaged || s == DelegateAnybody {
		return s, nil
	}
	if name, is := ReviewerGroup(s); is {
		_, err := wholeName(name)
		return s, err
	}
	return "", fmt.Errorf("%q is nobody whom items can be handed to; write %s, %s or group:<name>", shown(s),
		DelegateManaged, DelegateAnybody)
}

// DelegateGroups are the groups whose members reviewers may hand items on to.
func (r *Review) DelegateGroups() (groups []string) {
	for _, entry := range r.Delegates {
		if name, is := ReviewerGroup(entry); is {
			groups = append(groups, name)
		}
	}
	return groups
}

// MayTake says why reviewers may not hand items on to a person; nil: they may. Members are those of DelegateGroups, by
// their names.
func (r *Review) MayTake(p access.Person, members map[string][]access.Person) error {
	entries := r.Delegates
	if len(entries) == 0 {
		entries = []string{DelegateManaged}
	}
	for _, entry := range entries {
		group, is := ReviewerGroup(entry)
		switch {
		case entry == DelegateAnybody, entry == DelegateManaged && p.ClaimStatus == "managed":
			return nil
		case is && slices.ContainsFunc(members[group], func(m access.Person) bool { return m.ID == p.ID }):
			return nil
		}
	}
	whom := map[string]string{DelegateManaged: "people whose accounts the organization manages"}
	var words []string
	for _, entry := range entries {
		words = append(words, cmp.Or(whom[entry], "members of "+strings.TrimPrefix(entry, "group:")))
	}
	return fmt.Errorf("%s may not be handed anything: campaign %s lets items be handed on to %s (delegates in the policy)", p.Label(), r.Name, strings.Join(words, ", or "))
}
