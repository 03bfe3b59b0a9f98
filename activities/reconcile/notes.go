package reconcile

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

// What pages count for the findings of a run.
const (
	noteFight    = "fight"    // somebody is both given and denied something
	noteUnknown  = "unknown"  // a rule's condition is unknown
	noteHolds    = "holds"    // a rule applies
	noteWaits    = "waits"    // a rule has not applied for long enough
	noteHolder   = "holder"   // somebody holds a protected target
	noteForeign  = "foreign"  // and nothing explains it
	notePeople   = "people"   // somebody is there and active
	noteDoubted  = "doubted"  // an addition depends on an absence that another search does not confirm
	noteUnproven = "unproven" // the ledger's chain does not confirm that a grant was granted
	noteRestored = "restored" // somebody removed by hand what a grant gives, and it is given back

	notePair = "pair" // somebody is in both groups of a pair that is not linked, or nobody knows

	noteNotLinked = "not-linked" // somebody's address is an identity's, and they are not linked by it
)

// note counts what one person adds to the findings of the run.
func note(notes ledger.Notes, b *policy.Bound, p access.Person, known plan.State, d plan.Decision) {
	if !p.IsApp() && p.MembershipStatus == "active" {
		notes.Add(notePeople)
	}
	for _, f := range d.Conflicts {
		notes.Add(noteFight, string(f.Target), f.Gives.String(), f.Denies)
	}
	for _, h := range d.Restored {
		notes.Add(noteRestored, string(h.Target))
	}
	for _, a := range d.Rules {
		switch a.Verdict {
		case policy.VerdictUnknown:
			notes.Add(noteUnknown, a.Name, a.Why)
		case policy.VerdictHolds, policy.VerdictGrace:
			notes.Add(noteHolds, a.Name)
		case policy.VerdictWaits:
			notes.Add(noteWaits, a.Name)
		}
	}
	for _, t := range b.TargetsHeld(p) {
		target := b.Targets[t]
		if target.Protected == nil || p.IsApp() {
			continue
		}
		notes.Add(noteHolder, string(target.Entitlement))
		if foreign(known, d, target.Entitlement) {
			notes.Add(noteForeign, string(target.Entitlement))
		}
	}
}

// foreign reports whether somebody else made the membership and nothing explains it.
func foreign(known plan.State, d plan.Decision, target access.Entitlement) bool {
	unexplained := func(h access.Holding) bool { return h.Target == target && !h.Owned && len(h.Reasons) == 0 }
	closed := slices.ContainsFunc(d.Close, func(h access.Holding) bool { return h.Target == target })
	return slices.ContainsFunc(d.Open, unexplained) || !closed && slices.ContainsFunc(known.Holdings, unexplained)
}

// presence counts the people: they are the holders of presence.
func presence(stats *plan.Stats, notes ledger.Notes) {
	for _, e := range []access.Entitlement{access.Directory, access.Organization} {
		if t, managed := stats.Targets[e]; managed {
			t.Members = notes.Of(notePeople)
			stats.Targets[e] = t
		}
	}
}

// noted returns the findings of the notes of a run.
func noted(notes ledger.Notes, b *policy.Bound) []access.Finding {
	var found []access.Finding
	say := func(rule, subject, format string, args ...any) {
		found = append(found, access.Finding{Rule: rule, Subject: subject, Detail: fmt.Sprintf(format, args...)})
	}
	for _, note := range notes.Sorted() {
		n, about := notes[note], note.About[0]
		switch note.Kind {
		case noteFight:
			say("rules-fight", about, "%s gives it to %d people to whom rule %s denies it; a denial wins. Decide which of the two is right", note.About[1], n, note.About[2])
		case noteUnknown:
			say("rule-unknown", about, "it cannot be evaluated for %d people, whose access it does not change: %s", n,
				note.About[1])
		case noteDoubted:
			say("absence-doubted", "people",
				"%d people are not given something for now: it depends on their not being in a group, and another search disagrees. The next verification checks again", n)
		case noteUnproven:
			say("grant-unexplained", about,
				"the ledger's chain does not explain this grant: it was not written by Castellan. It gives nothing; starter verify-ledger names all such rows")
		case noteRestored:
			say("grant-restored", about,
				"it was manually removed from %d people to whom a grant gives it; it is given back to those who may still hold it (grants.handTaken is restore)", n)
		case noteNotLinked:
			say(about, "identities", "%d people have the address of an identity but are not linked to it: %s", n,
				"starter identities lists them, with the reason")
		case noteForeign:
			say("admin-by-hand", about,
				"%d people hold it although nothing in the policy gives it to them: they were added manually; starter findings --now --format csv names them", n)
		}
	}
	for _, t := range b.Targets {
		n := notes.Of(noteHolder, string(t.Entitlement))
		if t.Protected != nil && t.Protected.Maximum > 0 && n > t.Protected.Maximum {
			say("too-many-holders", string(t.Entitlement),
				"%d people hold it; the policy allows at most %d (protected.maximum)", n, t.Protected.Maximum)
		}
	}
	slices.SortStableFunc(found, func(a, b access.Finding) int { return cmp.Compare(a.Rule, b.Rule) })
	return found
}
