package policy

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the schema
	"encoding/hex"
	"encoding/json"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/provision"
)

// Policy is a policy file with all defaults applied. Its JSON form is canonical and is itself a policy file.
type Policy struct {
	Version      int          `json:"version"`
	Organization Organization `json:"organization"`
	// identity providers that are read, and the SCIM directories whose records follow them
	Sources    []provision.Source    `json:"sources,omitempty"`
	Provision  []provision.Provision `json:"provision,omitempty"`
	Groups     []provision.GroupSync `json:"groups,omitempty"`   // groups at Atlassian that follow groups of sources
	Mappings   []Mapping             `json:"mappings,omitempty"` // none: it only provisions, or has groups follow those of sources
	Guard      Guard                 `json:"guard"`
	Protected  []Protected           `json:"protected,omitempty"`
	Grants     []Grantable           `json:"grants,omitempty"`
	Rules      []Rule                `json:"rules,omitempty"`
	Reviews    []Review              `json:"reviews,omitempty"`
	Governance *Governance           `json:"governance,omitempty"` // none: findings are looked for when somebody asks
	Sync       Sync                  `json:"sync"`
	DryRun     bool                  `json:"dryRun"`           // plan and record, write nothing
	Ignore     []string              `json:"ignore,omitempty"` // source groups that need no mapping; names or globs

	conditions map[string]*condition.Condition    // those of the file, by their text
	alike      func(a, b access.Entitlement) bool // see Within
	written    *Policy                            // what WithAccounts was made of
}

// Organization names the Atlassian organization and the key to it.
type Organization struct {
	Name       string `json:"name"`                // short name; stands in workflow IDs
	ID         string `json:"id"`                  // Atlassian organization id
	Directory  string `json:"directory,omitempty"` // directory id; needed only when the organization has several
	Key        string `json:"key"`                 // secret reference: env:NAME or file:/path, never a value
	KeyOwner   string `json:"keyOwner,omitempty"`  // whose key it is: e-mail address or account id
	KeyExpires Date   `json:"keyExpires,omitzero"` // the day on which the key stops working
	// Domains are e-mail domains that count as the organization's own beside those it has verified.
	Domains []string `json:"domains,omitempty"`
}

// Mapping gives targets to the members of source groups.
type Mapping struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Owner       string   `json:"owner,omitempty"`
	From        []string `json:"from"`             // names or globs over source groups
	Except      []string `json:"except,omitempty"` // globs taken out of From
	// a * in a group target stands for what the * of the matching From glob matched
	To       []access.Entitlement `json:"to"`
	Create   bool                 `json:"create"` // make target groups that do not exist
	Removals Mode                 `json:"removals"`
	// memberships that exist already and that this mapping explains become owned
	Adopt bool `json:"adopt"`
}

// Mode says which memberships of a target a run may take away when no reason stands for them.
type Mode string

// The modes, most careful first.
const (
	RemoveNever Mode = "never" // additive: nobody is removed
	RemoveOwned Mode = "owned" // those that Castellan made or adopted (the default)
	RemoveAll   Mode = "all"   // everybody without a reason, whoever added them
)

// moreCareful returns the more careful of two modes.
func moreCareful(a, b Mode) Mode {
	for _, m := range []Mode{RemoveNever, RemoveOwned} {
		if a == m || b == m {
			return m
		}
	}
	return RemoveAll
}

// AdoptMode says whether the first run after set-up waits for a person's consent.
type AdoptMode string

// The modes of consent.
const (
	AdoptAsk  AdoptMode = "ask" // the default
	AdoptAuto AdoptMode = "auto"
)

// Guard is the limits beyond which a run's changes are held until a person decides. A value on the limit passes; one
// beyond it is held. The defaults are in DefaultGuard.
type Guard struct {
	Adopt AdoptMode `json:"adopt"`
	// whether what a rule asks for when it is first enforced waits for consent
	Rules         AdoptMode         `json:"rules"`
	Run           RunLimit          `json:"run"`
	Target        TargetLimit       `json:"target"`
	LastAccess    LastAccessLimit   `json:"lastAccess"`
	Window        WindowLimit       `json:"window"`
	Source        SourceLimit       `json:"source"`
	Deactivations DeactivationLimit `json:"deactivations"`
	Unlinked      UnlinkedLimit     `json:"unlinked"`
	SecondWriter  SecondWriterLimit `json:"secondWriter"`
	// changes of one person in one target within window.days after which one more is held; 0: none is
	Flapping int      `json:"flapping"`
	Settle   Duration `json:"settle"` // how long a removal must stay true before it is written
}

// RunLimit bounds the removals of one run.
type RunLimit struct {
	Removals int   `json:"removals"`
	Share    Share `json:"share"`   // of all memberships in managed targets
	AtLeast  int   `json:"atLeast"` // the share is judged only for more removals than this
}

// TargetLimit bounds the removals from one target in one run.
type TargetLimit struct {
	Removals int   `json:"removals"`
	Share    Share `json:"share"`   // of the target's holders
	Minimum  int   `json:"minimum"` // the share is judged only for targets with at least this many holders
}

// LastAccessLimit bounds the people who lose their last access to one app on one site in one run.
type LastAccessLimit struct {
	People int `json:"people"`
}

// WindowLimit bounds the removals of the past days together with this run's, so that a slow drain is caught.
type WindowLimit struct {
	Days     int   `json:"days"`
	Removals int   `json:"removals"` // over the whole organization
	Share    Share `json:"share"`    // per target, of its holders at the start of the window
}

// SourceLimit bounds how much a source group may shrink between two good runs before its evidence is doubted.
type SourceLimit struct {
	Share   Share `json:"share"`
	Minimum int   `json:"minimum"` // judged only for groups that had at least this many members
}

// DeactivationLimit bounds the people whose records one run deactivates.
type DeactivationLimit struct {
	People int   `json:"people"`
	Share  Share `json:"share"` // of all active records of the directory
}

// UnlinkedLimit bounds the people whose records lost their accounts since the last run. Beyond it, nothing is
// provisioned.
type UnlinkedLimit struct {
	People int `json:"people"`
}

// SecondWriterLimit bounds the people whose records somebody else changed since Castellan wrote them. Beyond it,
// nothing is provisioned.
type SecondWriterLimit struct {
	People int `json:"people"`
}

// Protected is a target with a floor, checked at the moment of writing.
type Protected struct {
	Target  access.Entitlement `json:"target"`
	Minimum int                `json:"minimum"` // active holders who must remain
	// people who are never removed: e-mail addresses or account ids
	Always  []string `json:"always,omitempty"`
	Maximum int      `json:"maximum,omitempty"` // more holders than this are reported; 0: any number
}

// Governance says when the organization is looked at as a whole, for findings that no rule acts on.
type Governance struct {
	Schedule string   `json:"schedule"`         // cron, five fields
	Zone     string   `json:"zone,omitempty"`   // IANA name; "" is UTC
	Inactive Duration `json:"inactive"`         // whoever used nothing for so long is inactive
	Notify   []string `json:"notify,omitempty"` // e-mail addresses that are told what was found
}

// Sync says how often to look and how fast to go.
type Sync struct {
	Every    Duration `json:"every"`    // full verification
	Feed     Duration `json:"feed"`     // poll of the event feed
	InFlight int      `json:"inFlight"` // writes in flight at once
	Pages    int      `json:"pages"`    // pages of people read in one block
}

//go:embed schema.json
var schema []byte

// Schema returns the JSON schema of policy files, for editors. Parse is stricter: it also judges how entries go
// together.
func Schema() []byte { return bytes.Clone(schema) }

// JSON returns the canonical form: all defaults written out, keys in fixed order, no insignificant space. It is a
// policy file itself, which parses to the same policy.
func (p *Policy) JSON() []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(p); err != nil {
		panic("policy: a policy is plain data and always encodes: " + err.Error())
	}
	return bytes.TrimRight(out.Bytes(), "\n")
}

// Hash is "sha256:" and the hash of the canonical form in hex. The file's formatting, comments, key order and defaults
// written out do not change it.
func (p *Policy) Hash() string {
	if p.written != nil {
		return p.written.Hash()
	}
	sum := sha256.Sum256(p.JSON())
	return "sha256:" + hex.EncodeToString(sum[:])
}

// TargetsNamed lists all that the policy names in full as a target, section by section, and repeats what several
// entries name: mapped, ruled, granted, reviewed or protected. Globs over groups, and group targets with a star, are
// left out; Bind finds the groups behind them.
func (p *Policy) TargetsNamed() []access.Entitlement {
	var all []access.Entitlement
	for _, m := range p.Mappings {
		for _, to := range m.To {
			if stars(to) == 0 {
				all = append(all, to)
			}
		}
	}
	for i := range p.Rules {
		all = append(append(all, p.Rules[i].Give...), p.Rules[i].Deny...)
	}
	for _, entry := range p.Grants {
		all = append(all, entry.Targets...)
	}
	for i := range p.Reviews {
		all = append(all, p.Reviews[i].named()...)
	}
	for _, protected := range p.Protected {
		all = append(all, protected.Target)
	}
	return all
}

// Entitlements lists TargetsNamed and what conditions ask for, sorted, each once: what an outline has to know the roles
// of.
func (p *Policy) Entitlements() []access.Entitlement {
	all := p.TargetsNamed()
	for _, condition := range p.conditions {
		for _, name := range condition.Needs.Granted {
			if e, err := access.ParseEntitlement(name); err == nil {
				all = append(all, e)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
