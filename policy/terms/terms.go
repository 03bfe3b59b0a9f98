// Package terms tells on what terms a target is granted to somebody: the strictest of all entries of the policy that
// name it; and judges a request by them. It is pure.
package terms

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/window"
)

// terms are what all entries that name one target say together: in every dimension the strictest.
type terms struct {
	entries    []*policy.Grantable
	byDefault  limit // duration when the request names none
	most       limit // duration
	breakGlass limit // duration without approval
	ahead      limit // how far ahead a start may lie
	cooldown   limit // rest between two grants
	remind     window.Duration
	approvals  []*policy.Grantable // entries that ask for approvals
	needs      int                 // approvals
	wait       window.Duration     // for them
	codes      bool
	extend     extensionTerms
}

// extensionTerms is how a grant may be prolonged.
type extensionTerms struct {
	refusedBy  string // entry that does not let it
	total      limit  // from the first start to the last end, of all that is held in a row
	times      int
	timesSetBy string // entry that sets times
	approval   bool
}

// limit is a bound with the entry that sets it.
type limit struct {
	span  window.Duration
	words string // what the bound is, for people
	entry string
}

func (l limit) String() string { return fmt.Sprintf("%s, by entry %s", l.words, l.entry) }

// atMost tightens the limit to what an entry says.
func (l *limit) atMost(span window.Duration, entry *policy.Grantable, format string) {
	if l.entry == "" || span < l.span {
		*l = limit{span, fmt.Sprintf(format, span), entry.Name}
	}
}

func newTerms(entries []*policy.Grantable) terms {
	t := terms{entries: entries}
	for _, e := range entries {
		t.byDefault.atMost(e.Duration.Default, e, "%s by default")
		t.most.atMost(e.Duration.Max, e, "%s at most")
		t.ahead.atMost(e.Ahead, e, "%s ahead")
		t.remind = max(t.remind, e.Remind)
		if t.cooldown.entry == "" || e.Cooldown > t.cooldown.span {
			t.cooldown = limit{e.Cooldown, fmt.Sprintf("%s between two grants", e.Cooldown), e.Name}
		}
		t.addApproval(e)
		t.addExtension(e)
	}
	return t
}

func (t *terms) addApproval(e *policy.Grantable) {
	a := e.Approval
	if a == nil {
		return
	}
	if len(t.approvals) == 0 || a.Wait < t.wait {
		t.wait = a.Wait
	}
	t.approvals = append(t.approvals, e)
	t.needs = max(t.needs, a.Count)
	t.codes = t.codes || a.Codes
	if e.BreakGlass != nil {
		t.breakGlass.atMost(e.BreakGlass.Max, e, "%s at most as break-glass")
	}
}

func (t *terms) addExtension(e *policy.Grantable) {
	if e.Extend == nil {
		t.extend.refusedBy = e.Name
		// a fresh request continues what runs, like an extension
		t.extend.total.atMost(e.Duration.Max, e, "%s in a row")
		return
	}
	t.extend.total.atMost(e.Extend.Max, e, "%s in all")
	if t.extend.timesSetBy == "" || e.Extend.Times < t.extend.times {
		t.extend.times, t.extend.timesSetBy = e.Extend.Times, e.Name
	}
	t.extend.approval = t.extend.approval || e.Extend.Approval
}

// LookBack returns how long before the start of a grant of the target others may have ended that its limits count.
func LookBack(p *policy.Policy, target access.Entitlement) time.Duration {
	t := newTerms(p.GrantEntries(target))
	return max(access.ConsecutiveReach(access.Duration(t.extend.total.span)), t.cooldown.span.Std())
}

// names returns the entries' names, sorted.
func (t *terms) names() []string {
	var names []string
	for _, e := range t.entries {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	return names
}

// approvers returns the account ids of those whom every entry that asks for approvals allows to give one, sorted:
// active people, and never who is to receive the target, nor who asks for it.
func (t *terms) approvers(r *Request) []string {
	allowed := map[string]int{} // by how many entries
	for _, entry := range t.approvals {
		for id := range mayApprove(entry.Approval, r) {
			allowed[id]++
		}
	}
	delete(allowed, r.Person.ID)
	delete(allowed, r.By)
	maps.DeleteFunc(allowed, func(_ string, entries int) bool { return entries < len(t.approvals) })
	return slices.Sorted(maps.Keys(allowed))
}

// mayApprove returns the accounts that one entry lets approve.
func mayApprove(a *policy.Approval, r *Request) map[string]bool {
	all := map[string]bool{}
	take := func(p access.Person) {
		if p.ID != "" && p.CanReceive() {
			all[p.ID] = true
		}
	}
	for _, id := range a.By {
		take(r.People[id])
	}
	for _, group := range a.Groups {
		for name, members := range r.Approvers {
			if !access.SameName(name, group) {
				continue
			}
			for _, p := range members {
				take(p)
			}
		}
	}
	return all
}
