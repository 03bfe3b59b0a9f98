package reviews

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
)

// The thresholds of recommendations and risks.
const (
	reviewIdle  = 90 * 24 * time.Hour // whoever used nothing for so long does not need it
	reviewBusy  = 30 * 24 * time.Hour // whoever used it since then needs it
	enoughPeers = 5                   // from so many on it means something what they hold
	mostRisk    = 100
)

const riskProtected = "protected target"

// rank completes an item: its peers, what is recommended, and how risky it is.
func rank(i *access.Item, notes ledger.Notes, now time.Time) {
	i.Peers = peersOf(i, notes)
	i.Recommend, i.Because = recommend(i, now)
	i.Risk, i.Risks = risk(i, now)
}

// peersOf compares the person with the others of one of their source groups: the smallest that has enough others to say
// something, since it tells most of what they do; where none has, the largest.
func peersOf(i *access.Item, notes ledger.Notes) *access.Peers {
	var peers *access.Peers
	for _, g := range i.Sources {
		n := notes.Of(noteMembers, g) - 1
		better := peers == nil || peers.Of < enoughPeers && n > peers.Of || n >= enoughPeers && n < peers.Of
		if n > 0 && better {
			peers = &access.Peers{Group: g, Of: n, Hold: notes.Of(notePeers, g, string(i.Target)) - 1}
		}
	}
	return peers
}

// recommend returns the verdict that the evidence supports, and why. Unknown facts support nothing.
func recommend(i *access.Item, now time.Time) (access.Verdict, string) {
	last, use := lastUsed(i.Uses)
	switch {
	case i.Status != "" && i.Status != "active":
		return access.VerdictRemove, "the membership of the organization is " + i.Status
	case last.Last.After(now.Add(-reviewBusy)):
		return access.VerdictKeep, fmt.Sprintf("%s was used %s", last.App, ago(now, last.Last))
	case use == session.UseSome && last.Last.Before(now.Add(-reviewIdle)):
		return access.VerdictRemove, fmt.Sprintf("what it opens was last used %s", ago(now, last.Last))
	case use == session.UseNone && !i.Since.IsZero() && i.Since.Before(now.Add(-reviewIdle)):
		return access.VerdictRemove, "what it opens was never used, for " +
			strings.TrimSuffix(ago(now, i.Since), " ago")
	case i.Peers != nil && i.Peers.Of >= enoughPeers && i.Peers.Hold <= 0:
		return access.VerdictRemove, fmt.Sprintf("none of the %d others in %s holds it", i.Peers.Of, i.Peers.Group)
	case len(i.Reasons) == 0 && i.External != nil && *i.External:
		return access.VerdictRemove, "the person is external, and nothing in the policy explains it"
	case i.Peers != nil && i.Peers.Of >= enoughPeers && 2*i.Peers.Hold >= i.Peers.Of:
		return access.VerdictKeep, fmt.Sprintf("%d of the %d others in %s hold it too", i.Peers.Hold, i.Peers.Of,
			i.Peers.Group)
	case given(i):
		return access.VerdictKeep, "the policy gives it: " + session.ReasonsInWords(i.Reasons)
	}
	return "", ""
}

// given reports whether something permanent gives the target.
func given(i *access.Item) bool {
	return slices.ContainsFunc(i.Reasons,
		func(r access.Reason) bool { return r.Kind == access.ReasonMapping || r.Kind == access.ReasonRule })
}

// lastUsed returns the last use of what a target opens, as far as it is known. Unknown: some of it is not, so there may
// be a later one; none: all of it is known, and nothing was ever used.
func lastUsed(uses []access.Use) (last access.Use, use string) {
	unknown := len(uses) == 0
	for _, u := range uses {
		if u.Last.After(last.Last) {
			last = u
		}
		unknown = unknown || u.Last.IsZero() && !u.Never
	}
	switch {
	case unknown:
		return last, session.UseUnknown
	case last.Last.IsZero():
		return last, session.UseNone
	}
	return last, session.UseSome
}

// risk returns the risk of not looking, from 0 to 100, and the reasons.
func risk(i *access.Item, now time.Time) (int, []string) {
	total, words := 5, []string(nil)
	add := func(n int, word string) {
		total += n
		if word != "" {
			words = append(words, word)
		}
	}
	if i.Target == access.OrgAdmin {
		add(10, "organization admin")
	}
	if slices.Contains(i.Risks, riskProtected) {
		add(35, riskProtected)
	}
	if i.External == nil {
		add(5, "")
	} else if *i.External {
		add(20, "external")
	}
	if len(i.Reasons) == 0 && i.Target != access.Directory {
		add(15, "nothing in the policy explains it")
	}
	switch last, use := lastUsed(i.Uses); {
	case use == session.UseNone:
		add(15, "never used")
	case use == session.UseSome && last.Last.Before(now.Add(-reviewIdle)):
		add(15, "not used lately")
	case use == session.UseUnknown:
		add(3, "")
	}
	if i.Peers != nil && i.Peers.Of >= enoughPeers && i.Peers.Hold <= 0 {
		add(10, "no peer holds it")
	}
	if i.Status != "" && i.Status != "active" {
		add(10, i.Status)
	}
	if i.Before == nil {
		add(2, "")
	}
	return min(total, mostRisk), words
}
