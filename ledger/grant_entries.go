package ledger

import (
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// grantEntry returns an entry about the grant, without its person's address.
func grantEntry(g access.Grant, kind string, at time.Time, fields map[string]any) Entry {
	if fields == nil {
		fields = map[string]any{}
	}
	fields["grant"] = g.ID
	return Entry{At: at, Kind: kind, Person: accountID(g.Person), Target: g.Target, Body: body(fields)}
}

// accountID returns the account ID, or "" for an address: the chain contains none.
func accountID(person string) string {
	if access.IsAddress(person) {
		return ""
	}
	return person
}

// typedBy returns the name that somebody typed, unless it is the address of the grant's own person.
func typedBy(g access.Grant, name string) string {
	if name != "" && (strings.EqualFold(name, g.Email) || strings.EqualFold(name, g.Person)) {
		if access.IsAddress(g.Person) {
			return "the person"
		}
		return g.Person
	}
	return name
}

func requestEntry(g access.Grant) Entry {
	fields := map[string]any{"by": typedBy(g, g.By), "duration": g.Duration, "needs": g.Needs}
	for name, value := range map[string]string{"reason": g.Reason, "ticket": g.Ticket, "limit": g.Limit,
		"renews": g.Renews} {
		if value != "" {
			fields[name] = value
		}
	}
	for name, at := range map[string]time.Time{"start": g.Start, "decide": g.ApprovalDeadline} {
		if !at.IsZero() {
			fields[name] = at
		}
	}
	if len(g.Entries) > 0 {
		fields["entries"] = g.Entries
	}
	if g.Urgent {
		fields["breakGlass"] = true
	}
	return grantEntry(g, EntryGrantRequested, g.Requested, fields)
}

func grantedEntry(g access.Grant, at time.Time) Entry {
	return grantEntry(g, EntryGrantGranted, at, map[string]any{"from": g.From, "until": g.Until})
}
