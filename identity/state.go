package identity

import "github.com/castellan-io/castellan/access"

// State describes how a person, the record and the account relate to each other.
type State string

// The states. Each is one that ops can search for and act on.
const (
	Linked     State = "linked"      // record and account belong together
	JITOnly    State = "jit-only"    // an account, created by a login or an invitation, without a record
	Unlinked   State = "unlinked"    // a record without an account
	Orphaned   State = "orphaned"    // a record whose identity is gone, and which is still active
	EmailDrift State = "email-drift" // record and account have different addresses
	Duplicate  State = "duplicate"   // several records or identities are the same person's
	Locked     State = "locked"      // the inactive record keeps the account deactivated, but the person is enabled
	Absent     State = "absent"      // neither record nor account
)

// stateOf returns the state of a person; presence is the one that follows from all their identities.
func stateOf(m Match, accounts []Account, presence Presence) State {
	switch {
	case len(m.Others) > 0:
		return Duplicate
	case m.Record == nil && len(accounts) > 0:
		return JITOnly
	case m.Record == nil:
		return Absent
	case presence == Gone && m.Record.Active:
		return Orphaned
	case m.Record.Account == "":
		return Unlinked
	}
	if account := accountOf(accounts, m.Record.Account); account != nil {
		if !access.SameAddress(account.Address, m.Record.Address()) && account.Address != "" {
			return EmailDrift
		}
	}
	if presence == Enabled && !m.Record.Active {
		return Locked
	}
	return Linked
}

func accountOf(accounts []Account, id AccountID) *Account {
	for i := range accounts {
		if accounts[i].ID == id {
			return &accounts[i]
		}
	}
	return nil
}
