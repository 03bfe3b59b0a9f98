package identity

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/provision"
)

// Person is all that is known about one person.
type Person struct {
	Identities []Identity // every one that was ever the person's, in the order of Provision.Sources
	Records    []Record   // those bound to the identities, and those with their external ids and address
	Bindings   []Binding  // of the identities, and of the records
	Accounts   []Account  // those that the records are linked to, and that of the wanted address
	Taken      bool       // another enabled identity has the same wanted address
	// Unexplained reports that the ledger's chain does not explain a binding. Nothing is decided then.
	Unexplained bool
}

// Action is what is done to a record.
type Action string

// The actions.
const (
	Keep       Action = "keep" // nothing to do
	Create     Action = "create"
	Update     Action = "update"
	Disable    Action = "deactivate"
	Reactivate Action = "reactivate"
)

// Edit is a change of one attribute.
type Edit struct {
	Attribute provision.Attribute `json:"attribute"`
	From      string              `json:"from"`
	To        string              `json:"to"`
}

// Hold is why a change waits for approval.
type Hold string

// The reasons to hold a change of one person, regardless of how many changes there are.
const (
	HoldRebind       Hold = "rebind"           // a known address under a new key, or the record was deleted by others
	HoldEmailChange  Hold = "email-change"     // the address that links record and account changes
	HoldScopeChange  Hold = "scope-change"     // the person is outside the policy's scope
	HoldExternalLink Hold = "external-link"    // the first link of an external person
	HoldExternal     Hold = "external"         // a change of an external person's record may unlink it
	HoldInactive     Hold = "account-inactive" // the account was deactivated at Atlassian
	HoldLink         Hold = "link"             // in a batch, whose preview is to be approved
	HoldUnbound      Hold = "leaver-unbound"   // a leaver whose record was found by the address and never bound
)

// The reasons to hold a change of a group, or of who is in it.
const (
	HoldGroupDelete   Hold = "group-delete"   // the source no longer has the group
	HoldGroupReplace  Hold = "group-replace"  // it was renamed in the source
	HoldGroupTakeover Hold = "group-takeover" // another identity provider made the group
	HoldGroupConflict Hold = "group-conflict" // Atlassian has a group of its own of that name
	HoldGroupDropped  Hold = "group-dropped"  // Atlassian never shows the group
	HoldStrayMember   Hold = "stray-member"   // somebody else put the person into the group
)

// Finding is the key of something about a person that people should know. The keys are stable.
type Finding string

// The findings.
const (
	FindDuplicate   Finding = "duplicate"         // several records or identities may be the person's
	FindNoAddress   Finding = "no-address"        // the person has no address in the source
	FindUnclaimed   Finding = "unclaimed-domain"  // the new address is in a domain that is not verified
	FindExternal    Finding = "external-changed"  // an external person would be linked or changed; the policy says never
	FindUnmanaged   Finding = "cannot-deactivate" // the account is not managed: it can only be suspended
	FindKept        Finding = "kept"              // a leaver whom the policy protects
	FindAttribute   Finding = "attribute"         // an attribute cannot be computed from the source's data
	FindLeaver      Finding = "leaver"            // left, and the policy only reports that
	FindUnlinked    Finding = "unlinked"          // the record lost its account
	FindDisagree    Finding = "sources-disagree"  // one source says enabled, another disabled; the first is followed
	FindNewAccount  Finding = "relinked"          // the record is linked to another account than before
	FindOverwritten Finding = "overwritten"       // the record was changed since it was written, and not by Castellan
	// FindUnexplained: a binding was changed in the ledger, and not by Castellan.
	FindUnexplained Finding = "identity-unexplained"
)

// The findings about groups. Each has its own detail.
const (
	FindGroupConflict Finding = "group-conflict" // Atlassian, or another directory, has a group of that name
	FindGroupDropped  Finding = "group-dropped"  // Atlassian accepts the group, and never shows it
	FindGroupMissing  Finding = "group-missing"  // it is not there, and the policy does not create it
	FindGroupRenamed  Finding = "group-renamed"  // in the source, to a name that the policy does not know
	FindGroupTaken    Finding = "group-taken"    // its name is another's
	FindGroupUnwanted Finding = "group-unwanted" // the policy no longer wants it
)

// explanations are what the findings and holds mean to people, and what to do.
var explanations = map[string]string{
	string(FindDuplicate):   "several records or identities may be one person's; correct one, or bind by id",
	string(FindNoAddress):   "they have no address in the source, so no record can be created",
	string(FindUnclaimed):   "their new address is in a domain that the organization has not verified: the record would lose its account. Verify the domain, or correct the address",
	string(FindExternal):    "they are external, and the policy does not link or change them (provision.external): any change of their record may unlink it",
	string(FindUnmanaged):   "they left, but the organization does not manage their account: suspend them in the organization",
	string(FindKept):        "they left, but the policy protects them: deactivate them yourself if they should be",
	string(FindAttribute):   "the value of an attribute cannot be computed from the source's data; see provision.attributes",
	string(FindLeaver):      "they left, and the policy only reports that (provision.leavers)",
	string(FindUnlinked):    "their record was linked to an account and no longer is",
	string(FindDisagree):    "they are enabled in one source and disabled in another; the one that the policy lists first is followed",
	string(FindNewAccount):  "their record is linked to a different account than before",
	string(FindOverwritten): "their record was changed since Castellan wrote it, and not by Castellan: another provider writes to the directory",
	string(FindUnexplained): "the ledger's chain does not explain what they are bound to, so nothing is written for them; " +
		"see starter verify-ledger",

	string(HoldRebind):       "a known address appeared under a new key, or the record or group was deleted, and not by Castellan",
	string(HoldEmailChange):  "the address that links record and account would change",
	string(HoldScopeChange):  "they are outside the policy's scope",
	string(HoldExternalLink): "they are external and would be linked for the first time",
	string(HoldExternal):     "they are external, and any change of their record may unlink it",
	string(HoldInactive):     "their account was deactivated at Atlassian, and a record would activate it",
	string(HoldLink):         "they have an account but no record, and would be linked",
	string(HoldUnbound):      "they left, but their record was found by its address alone",

	string(HoldGroupDelete): "the source no longer has the group: deleting it takes from its members whatever it gives",
	string(HoldGroupReplace): "the source renamed the group: a new one takes its members, and the former one is deleted " +
		"once the new one opens the same apps; give it the same access in admin.atlassian.com",
	string(HoldGroupTakeover): "another identity provider made the group, and it would follow the source's from now on",
	string(HoldGroupConflict): "Atlassian has a group of its own of that name: a synced one waits until a person accepts it there, and then its members replace those",
	string(HoldGroupDropped):  "Atlassian accepted the group and never shows it: it serves nobody",
	string(HoldStrayMember):   "somebody else put them into the group, and the source's group does not have them",
}

// Explain returns what a finding means, and what to do.
func (f Finding) Explain() string { return explanations[string(f)] }

// Explain returns why a change waits.
func (h Hold) Explain() string { return explanations[string(h)] }

// Note is a finding about a person, and what it is about.
type Note struct {
	Finding Finding `json:"finding"`
	Detail  string  `json:"detail"`
}

// Decision is what becomes of one person's record, and why.
type Decision struct {
	State    State           `json:"state"`
	Action   Action          `json:"action"`
	Record   RecordID        `json:"record,omitempty"`
	Account  AccountID       `json:"account,omitempty"`
	Identity Ref             `json:"identity,omitzero"` // the one that decides
	Presence Presence        `json:"presence"`
	Means    provision.Means `json:"means,omitempty"`  // how the record was found
	Former   *Ref            `json:"former,omitempty"` // the identity that the record is bound to, if it is not the person's
	Edits    []Edit          `json:"edits,omitempty"`  // of Create, Update and Reactivate
	Holds    []Hold          `json:"holds,omitempty"`
	Notes    []Note          `json:"notes,omitempty"`
	// Due is when a leaver's record is to be deactivated; zero: now.
	Due time.Time `json:"due,omitzero"`
}

// Resolve decides what becomes of a person's record.
func (p Provision) Resolve(person Person, now time.Time) Decision {
	lead, presence, disagree := p.presence(person.Identities)
	d := Decision{Action: Keep, Presence: presence, Identity: lead.Ref}
	wanted, errs := p.wanted(person.Identities, presence)
	for _, err := range errs {
		d.note(FindAttribute, err.Error())
	}
	if disagree {
		d.note(FindDisagree, fmt.Sprintf("%s is %s, and that source comes first", lead.Ref, presence))
	}
	m := p.match(person.Identities, wanted, person.Records, person.Bindings)
	d.Means, d.Former = m.Means, m.Former
	d.State = stateOf(m, person.Accounts, presence)
	if m.Record != nil {
		d.Record, d.Account = m.Record.ID, m.Record.Account
	} else if len(person.Accounts) > 0 {
		d.Account = person.Accounts[0].ID
	}
	d.noteLink(m, person.Bindings)
	switch {
	case person.Unexplained:
		d.Presence = Unknown
		d.note(FindUnexplained, "what "+lead.Ref.String()+" is bound to was changed in the ledger, and not by Castellan")
	case d.State == Duplicate || presence == Enabled && person.Taken:
		d.State = Duplicate
		d.note(FindDuplicate, duplicateDetail(m, wanted))
	case presence == Enabled && m.Record == nil:
		p.create(&d, m, person, wanted)
	case presence == Enabled:
		p.update(&d, m, person, wanted)
	case presence != Unknown && m.Record != nil && m.Record.Active && m.Former == nil && !person.Taken:
		p.leave(&d, m, person, lead, now)
	}
	if p.Observe {
		d.Holds = nil
	}
	return d
}

// presence returns the presence that follows from all identities, and the identity that decides it. The first source
// that has the person wins; a person is gone only when gone from all, and unknown as long as one of them may have the
// person.
func (p Provision) presence(identities []Identity) (lead Identity, _ Presence, disagree bool) {
	if len(identities) == 0 {
		return Identity{}, Unknown, false
	}
	known := func(i Identity) bool { return i.Presence == Enabled || i.Presence == Disabled }
	at := slices.IndexFunc(identities, known)
	unsure := slices.IndexFunc(identities, func(i Identity) bool { return i.Presence == Unknown || i.Presence == "" })
	if at >= 0 {
		lead = identities[at]
		for _, i := range identities {
			disagree = disagree || known(i) && i.Presence != lead.Presence
		}
		if lead.Presence == Disabled && unsure >= 0 && unsure < at {
			return identities[unsure], Unknown, false // a source that comes first may say otherwise
		}
		return lead, lead.Presence, disagree
	}
	if unsure >= 0 {
		return identities[unsure], Unknown, false
	}
	// All are gone or out of scope. Out of scope anywhere is the weaker statement.
	lead = identities[0]
	for _, i := range identities {
		weaker := i.Presence == OutOfScope && lead.Presence != OutOfScope
		if weaker || i.Presence == lead.Presence && i.Since.After(lead.Since) {
			lead = i
		}
	}
	return lead, lead.Presence, false
}

// create decides about a person without a record.
func (p Provision) create(d *Decision, m Match, person Person, wanted Values) {
	if wanted[provision.Email] == "" {
		d.note(FindNoAddress, d.Identity.String()+" has no address to provision")
		return
	}
	if p.external(person, m, wanted[provision.Email]) {
		switch p.External.Link {
		case provision.Auto:
		case provision.Ask:
			d.hold(HoldExternalLink)
		default:
			d.note(FindExternal, wanted[provision.Email]+" is external, and the policy says external.link: never")
			return
		}
	}
	if m.Missing != "" {
		d.hold(HoldRebind)
	}
	if account := accountOf(person.Accounts, d.Account); account != nil && account.Active != nil && !*account.Active {
		d.hold(HoldInactive)
	}
	d.Action = Create
	d.Edits = edits(Values{}, wanted)
}

// update decides about a person who has a record and should have one.
func (p Provision) update(d *Decision, m Match, person Person, wanted Values) {
	d.Edits = edits(m.Record.Values, wanted)
	if m.Former != nil {
		d.hold(HoldRebind)
	}
	switch {
	case !m.Record.Active:
		d.Action = Reactivate
	case len(d.Edits) > 0, m.Former != nil:
		d.Action = Update
	default:
		return
	}
	moved := slices.ContainsFunc(d.Edits, func(e Edit) bool { return e.Attribute.IsAddress() })
	if moved {
		d.hold(HoldEmailChange)
		if p.own(m.Record.Address()) && !p.own(wanted[provision.Email]) {
			d.keep(FindUnclaimed, fmt.Sprintf("%s would change to %s, whose domain the organization has not verified: "+
				"the record would lose its account", m.Record.Address(), wanted[provision.Email]))
			return
		}
	}
	if p.external(person, m, m.Record.Address()) {
		switch p.External.Update {
		case provision.Auto:
		case provision.Ask:
			d.hold(HoldExternal)
		default:
			d.keep(FindExternal, "the record of "+m.Record.Address()+", who is external, would change: "+
				describe(d.Edits)+"; any change may unlink it")
		}
	}
}

// leave decides about a person who left.
func (p Provision) leave(d *Decision, m Match, person Person, lead Identity, now time.Time) {
	becomes := leave(p.Leavers, d.Presence)
	if becomes == provision.ReportOnly {
		d.note(FindLeaver, fmt.Sprintf("%s is %s", lead.Ref, d.Presence))
		return
	}
	if p.Kept != nil && p.Kept(m.Record.Account, m.Record.Address()) {
		d.note(FindKept, m.Record.Address()+" left, but the policy protects them: deactivate them yourself if they should be")
		return
	}
	account := accountOf(person.Accounts, m.Record.Account)
	if account != nil && account.Managed != nil && !*account.Managed {
		d.note(FindUnmanaged, m.Record.Address()+"'s account is not managed by the organization: suspend the person there")
		return
	}
	d.Action = Disable
	if d.Presence == OutOfScope || becomes == provision.HoldLeave {
		d.hold(HoldScopeChange)
	}
	if m.Means != provision.ByBinding {
		d.hold(HoldUnbound)
	}
	if due := lead.Since.Add(p.Leavers.After.Std()); p.Leavers.After > 0 && due.After(now) {
		d.Due = due
	}
}

// external reports whether a person is external: the account is not managed, or it is not known and the domain of the
// address is not verified.
func (p Provision) external(person Person, m Match, address string) bool {
	id := AccountID("")
	if m.Record != nil {
		id = m.Record.Account
	}
	for _, a := range person.Accounts {
		if a.Managed != nil && (a.ID == id || id == "" && access.SameAddress(a.Address, address)) {
			return !*a.Managed
		}
	}
	return !p.own(address)
}

// noteLink notes whether the record's link to an account has changed since it was bound.
func (d *Decision) noteLink(m Match, bindings []Binding) {
	if m.Record == nil || m.Means != provision.ByBinding {
		return
	}
	for _, b := range bindings {
		switch {
		case b.Record != m.Record.ID || b.Account == "":
		case m.Record.Account == "":
			d.note(FindUnlinked, fmt.Sprintf("record %s was linked to account %s and no longer is", b.Record, b.Account))
			return
		case m.Record.Account != b.Account:
			d.note(FindNewAccount, fmt.Sprintf("record %s was linked to account %s and is now linked to %s", b.Record, b.Account,
				m.Record.Account))
			return
		}
	}
}

func (d *Decision) hold(h Hold) {
	if !slices.Contains(d.Holds, h) {
		d.Holds = append(d.Holds, h)
	}
}

func (d *Decision) note(f Finding, detail string) { d.Notes = append(d.Notes, Note{f, detail}) }

// keep leaves the record as it is, for a reason.
func (d *Decision) keep(f Finding, detail string) {
	d.Action, d.Edits, d.Holds = Keep, nil, nil
	d.note(f, detail)
}

// edits returns the changes from one to the other. An attribute whose wanted value is not known stays as it is.
func edits(from, to Values) []Edit {
	var all []Edit
	for _, name := range provision.Attributes() {
		value, known := to[name]
		if !known || name.Same(from[name], value) {
			continue
		}
		all = append(all, Edit{name, from[name], value})
	}
	return all
}

func describe(edits []Edit) string {
	var names []string
	for _, e := range edits {
		names = append(names, string(e.Attribute))
	}
	if len(names) == 0 {
		return "active"
	}
	return strings.Join(names, ", ")
}

func duplicateDetail(m Match, wanted Values) string {
	if len(m.Others) == 0 {
		return "another enabled identity has the address " + wanted[provision.Email]
	}
	ids := []string{string(m.Record.ID)}
	for _, o := range m.Others {
		ids = append(ids, string(o))
	}
	return "records " + strings.Join(ids, ", ") + " may all be this person's"
}
