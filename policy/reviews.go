package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/internal/form"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
)

// Review is one campaign of access reviews: who is asked about which access, when, and what becomes of the answers.
type Review struct {
	Name        string      `json:"name"` // stands in workflow IDs
	Description string      `json:"description,omitempty"`
	Owner       string      `json:"owner"`              // who answers for the campaign: e-mail address
	Schedule    string      `json:"schedule,omitempty"` // cron, five fields; empty: started by hand
	Zone        string      `json:"zone,omitempty"`     // IANA name; "" is UTC
	Scope       ReviewScope `json:"scope,omitzero"`
	// who the word owner stands for in stages; the campaign's owner for other targets
	Owners    []TargetOwner   `json:"owners,omitempty"`
	Stages    []ReviewStage   `json:"stages"` // one to three
	Reminders []Reminder      `json:"reminders"`
	Silence   Silence         `json:"silence"` // what becomes of an item that nobody decided
	SilenceOf []TargetSilence `json:"silenceOf,omitempty"`
	Apply     ReviewApply     `json:"apply"` // when removals are carried out
	// Delegates are whom reviewers may hand items on to: managed, anybody, or group:<name>. Empty: managed, which is
	// the default.
	Delegates []string `json:"delegates,omitempty"`
	Most      int      `json:"most"` // items that one reviewer is asked about, as long as there are others to ask
	// how long a target is denied that its source gives back after a removal; 0: it is left, and reported
	Deny Duration `json:"deny"`
	Keep Duration `json:"keep"` // how long a decision to keep is a reason for what nothing else gives
	// a decision that does not come from the reviewer's page needs the reviewer's code
	Codes    bool     `json:"codes"`
	Patience Duration `json:"patience"` // how long removals may take once deciding is over

	people *condition.Condition // Scope.People, as read
}

// ReviewScope says what a campaign asks about. Left out, it is every target of the policy and everybody.
type ReviewScope struct {
	// Targets are names, or globs over the groups of Atlassian's own. What is named here is managed: a review may take
	// it, and nothing else does unless it is named elsewhere.
	Targets []access.Entitlement `json:"targets,omitempty"`
	People  string               `json:"people,omitempty"` // condition; empty: everybody
	Only    ReviewOnly           `json:"only"`
}

// ReviewOnly says which of a campaign's items are asked about.
type ReviewOnly string

// The choices.
const (
	ReviewAll ReviewOnly = "all" // the default
	// what is new, or held for other reasons, since somebody last decided to keep it
	ReviewChanged ReviewOnly = "changed"
)

// TargetOwner names who answers for targets.
type TargetOwner struct {
	Targets []access.Entitlement `json:"targets"` // names or globs
	By      []string             `json:"by"`      // e-mail addresses or account ids
}

// ReviewStage is one round of a campaign.
type ReviewStage struct {
	// Reviewers are e-mail addresses, account ids, group:<name> (its members), or one of the words person (who holds
	// it), sponsor (who asked for the presence of somebody from outside) and owner (of the target).
	Reviewers []string     `json:"reviewers"`
	Assign    ReviewAssign `json:"assign"`
	// asked where a reviewer is gone, or silent; as reviewers, without person
	Fallback []string `json:"fallback,omitempty"`
	// how long reviewers may be silent; half the length when left out
	FallbackAfter Duration `json:"fallbackAfter,omitempty"`
	// how long before the end the campaign's owner is asked; 0: never
	Escalate Duration   `json:"escalate"`
	Length   Duration   `json:"length"`
	Next     ReviewNext `json:"next"` // which items go on to the next stage
}

// ReviewAssign says how a stage's items are given to its reviewers.
type ReviewAssign string

// The ways.
const (
	AssignOne ReviewAssign = "one" // each item to one of them, spread evenly (the default)
	AssignAll ReviewAssign = "all" // each item to each of them
)

// ReviewNext says which items of a stage go on to the next one. The last stage in which somebody decided an item
// counts.
type ReviewNext string

// The choices.
const (
	NextUndecided ReviewNext = "undecided" // the default
	NextKept      ReviewNext = "kept"
	NextRemoved   ReviewNext = "removed"
	NextAll       ReviewNext = "all"
)

// Continues reports whether an item of which a stage said this goes on.
func (n ReviewNext) Continues(v access.Verdict) bool {
	switch n {
	case NextAll:
		return true
	case NextKept:
		return v == access.VerdictKeep
	case NextRemoved:
		return v == access.VerdictRemove
	}
	return v == ""
}

// Reminder is when reviewers are reminded.
type Reminder string

// The instants.
const (
	RemindStart  Reminder = "start"  // of each stage
	RemindMiddle Reminder = "middle" // whoever has something left
	RemindLast   Reminder = "last"   // the last day, or the last fifth of a short stage; whoever has something left
)

// Silence is what becomes of an item that nobody decided.
type Silence string

// The choices.
const (
	SilenceKeep      Silence = "keep" // (the default)
	SilenceRemove    Silence = "remove"
	SilenceRecommend Silence = "recommendation" // what was recommended; where nothing was, as hold
	SilenceHold      Silence = "hold"           // it stays as it is, is no decision, and is reported to the owner
)

// TargetSilence is what silence means for some targets.
type TargetSilence struct {
	Targets []access.Entitlement `json:"targets"` // names or globs
	Do      Silence              `json:"do"`
}

// ReviewApply says when a removal is carried out.
type ReviewApply string

// The choices.
const (
	ApplyClose  ReviewApply = "close"   // once deciding is over (the default)
	ApplyAtOnce ReviewApply = "at-once" // as soon as it is decided in the last stage that the item comes to
)

// The words among a stage's reviewers that stand for somebody else with each item.
const (
	ReviewerPerson  = "person"  // who holds it
	ReviewerSponsor = "sponsor" // who asked for the presence of somebody from outside
	ReviewerOwner   = "owner"   // of the target
)

// ReviewerGroup returns the name of the group whose members an entry of a stage's reviewers or fallback stands for; ok
// is false for every other entry.
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
	if !form.IsEmail(s) && (!form.IsAccount(s) || !strings.ContainsAny(s, "0123456789")) {
		return "", fmt.Errorf("%q can be asked nothing; write %ssponsor, owner, group:<name>, an e-mail address or an Atlassian account id", strictyaml.Shown(s), also)
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
	return "", fmt.Errorf("%q is nobody whom items can be handed to; write %s, %s or group:<name>", strictyaml.Shown(s),
		DelegateManaged, DelegateAnybody)
}

// DelegateGroups returns the groups whose members reviewers may hand items on to.
func (r *Review) DelegateGroups() (groups []string) {
	for _, entry := range r.Delegates {
		if name, is := ReviewerGroup(entry); is {
			groups = append(groups, name)
		}
	}
	return groups
}

// MayDelegateTo returns why reviewers may not hand items on to a person; nil: they may. Members are those of
// DelegateGroups, by their names.
func (r *Review) MayDelegateTo(p access.Person, members map[string][]access.Person) error {
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
