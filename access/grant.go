package access

import (
	"slices"
	"time"
)

// GrantState is the state of a temporary grant.
type GrantState string

// The states of a grant. Waiting and Granted are open; all others are final.
const (
	GrantWaiting GrantState = "waiting" // for its approvals
	GrantGranted GrantState = "granted" // a reason to hold the target from From to Until
	GrantDenied  GrantState = "denied"  // an approver said no
	GrantExpired GrantState = "expired" // nobody decided in time
	GrantEnded   GrantState = "ended"   // it was granted, and is over: by time, or early
)

// Open says that the grant still waits for something.
func (s GrantState) Open() bool { return s == GrantWaiting || s == GrantGranted }

// Grant is access of one person to one target for a while, with all that led to it. Several may overlap: access lasts
// until the last one ends. An extension is a grant of its own that renews another.
type Grant struct {
	ID string `json:"id"` // the request's id
	// account ID; the e-mail address as long as the directory does not show the person
	Person string `json:"person"`
	Email  string `json:"email,omitempty"` // for people
	Key    string `json:"key"`             // the person in the workflow's ID: as Person
	// FormerKey is the key of a workflow that has to hand the grant over: the address, until the account behind it was
	// known, or from the time when addresses were keys.
	FormerKey string      `json:"formerly,omitempty"`
	Target    Entitlement `json:"target"` // as the policy writes it
	State     GrantState  `json:"state"`
	Entries   []string    `json:"entries,omitempty"` // names of the policy's entries that it was judged by
	Reason    string      `json:"reason,omitempty"`
	Ticket    string      `json:"ticket,omitempty"`
	By        string      `json:"by"` // account ID of who asked
	Requested time.Time   `json:"requested"`
	Start     time.Time   `json:"start,omitzero"` // as asked for; zero: at once
	Duration  Duration    `json:"duration"`       // granted, after all limits
	// the limit that made it shorter than asked for, in words
	Limit  string    `json:"limit,omitempty"`
	From   time.Time `json:"from,omitzero"`        // once granted
	Until  time.Time `json:"until,omitzero"`       // once granted; when it ended early, that instant
	Remind Duration  `json:"remind,omitempty"`     // how long before its end the person is reminded; 0: never
	Urgent bool      `json:"breakGlass,omitempty"` // taken without approval, to be reviewed afterwards
	Renews string    `json:"renews,omitempty"`     // the grant that it extends
	Rest   Duration  `json:"rest,omitempty"`       // the pause between it and the person's other grants of the target; 0: none
	// how long the target may be held by consecutive grants; 0: no limit
	MostInRow Duration `json:"mostInRow,omitempty"`

	Needs     int      `json:"needs,omitempty"`     // approvals needed; 0: none
	Approvers []string `json:"approvers,omitempty"` // account IDs of those who may approve or deny
	// an approval needs the code that was sent to its approver alone
	Codes            bool       `json:"codes,omitempty"`
	ApprovalDeadline time.Time  `json:"decide,omitzero"` // until when it waits for approvals
	Approvals        []Approval `json:"approvals,omitempty"`

	// account ID of who denied it or ended it early; as typed where no account has that name
	ClosedBy  string `json:"closedBy,omitempty"`
	ClosedWhy string `json:"closedWhy,omitempty"`
	// RemovedByHand: it ended early because somebody removed its access by hand.
	RemovedByHand bool      `json:"handTaken,omitempty"`
	ProvisionedAt time.Time `json:"given,omitzero"` // when access was seen to be given
	RevokedAt     time.Time `json:"taken,omitzero"` // when nothing was left to remove

	// today's addresses of the account IDs above, for people; never stored
	Names map[string]string `json:"names,omitempty"`
}

// Label returns how people know an account of the grant: its address, where that is known.
func (g Grant) Label(account string) string {
	if name := g.Names[account]; name != "" {
		return name
	}
	return account
}

// Labels returns the label of each account.
func (g Grant) Labels(accounts []string) []string {
	all := make([]string, len(accounts))
	for i, id := range accounts {
		all[i] = g.Label(id)
	}
	return all
}

// Accounts returns the account IDs that the grant names, each once.
func (g Grant) Accounts() []string {
	var all []string
	seen := map[string]bool{}
	add := func(id string) {
		if id != "" && !IsAddress(id) && !seen[id] {
			seen[id] = true
			all = append(all, id)
		}
	}
	add(g.Person)
	add(g.By)
	for _, id := range g.Approvers {
		add(id)
	}
	for _, a := range g.Approvals {
		add(a.By)
	}
	add(g.ClosedBy)
	return all
}

// Approval is one approver's consent.
type Approval struct {
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	Note string    `json:"note,omitempty"`
}

// InForce reports whether the grant is a reason to hold its target at the instant.
func (g Grant) InForce(at time.Time) bool {
	return (g.State == GrantGranted || g.State == GrantEnded) && !at.Before(g.From) && at.Before(g.Until)
}

// InForce returns the grants that are a reason to hold their targets at the instant.
func InForce(all []Grant, at time.Time) []Grant {
	return slices.DeleteFunc(slices.Clone(all), func(g Grant) bool { return !g.InForce(at) })
}

// WithinCooldown reports whether the grant is or was in force during a span, or within a rest before or after it.
func (g Grant) WithinCooldown(from, until time.Time, rest time.Duration) bool {
	held := (g.State == GrantGranted || g.State == GrantEnded) && g.Until.After(g.From)
	return held && from.Before(g.Until.Add(rest)) && g.From.Before(until.Add(rest))
}

// Settled reports whether nothing is left to do about the grant.
func (g Grant) Settled() bool {
	switch g.State {
	case GrantDenied, GrantExpired:
		return true
	case GrantEnded:
		return !g.RevokedAt.IsZero()
	}
	return false
}

// GrantReason returns the grant as a reason to hold its target.
func (g Grant) GrantReason() Reason { return Reason{Kind: ReasonGrant, Name: g.ID} }
