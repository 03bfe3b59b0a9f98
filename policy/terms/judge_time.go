package terms

import (
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/window"
)

// checkRenewal judges whether the grant that the request extends can be extended, and finds where its chain began.
func (j *judge) checkRenewal() error {
	old, earlier := j.request.Renews, j.request.Earlier
	if old == nil {
		return nil
	}
	same := old.Target.Same(j.grant.Target) && old.Person == j.grant.Person
	switch {
	case !same:
		return j.refuse(RefusedNotExtendable,
			"grant %s is of another person or target; name a grant of these", old.ID)
	case old.State != access.GrantGranted || !old.Until.After(j.request.Now):
		return j.refuse(RefusedNotExtendable, "grant %s is not running; request a new one", old.ID)
	case j.terms.extend.refusedBy != "":
		return j.refuse(RefusedNotExtendable, "entry %s does not allow extensions; request a new grant",
			j.terms.extend.refusedBy)
	}
	for _, g := range earlier {
		if g.Renews == old.ID && (g.State.Open() || g.State == access.GrantEnded) {
			return j.refuse(RefusedNotExtendable, "grant %s is already extended by %s, which is %s; extend that one",
				old.ID, g.ID, g.State)
		}
	}
	j.grant.Renews = old.ID
	times := 0
	for j.first = *old; j.first.Renews != ""; times++ {
		i := slices.IndexFunc(earlier, func(g access.Grant) bool { return g.ID == j.first.Renews })
		if i < 0 || times > len(earlier) {
			return j.refuse(RefusedNotExtendable, "the grant %s that began it is no longer known; request a new one",
				j.first.Renews)
		}
		j.first = earlier[i]
	}
	if times >= j.terms.extend.times {
		return j.refuse(RefusedNotExtendable,
			"it was extended %d times, the most that entry %s allows; request a new one when it is over", times,
			j.terms.extend.timesSetBy)
	}
	return nil
}

// checkStart judges when the grant starts: an extension when the grant before it ends.
func (j *judge) checkStart() error {
	now, asked := j.request.Now, j.request.Start
	ahead := j.terms.ahead
	switch old := j.request.Renews; {
	case old != nil && !asked.IsZero() && !asked.Equal(old.Until):
		return j.refuse(RefusedStart, "an extension starts when the grant ends, at %s; leave the start out",
			instant(old.Until))
	case old != nil:
		j.start, j.grant.Start = old.Until, old.Until
		return nil
	case asked.IsZero():
		j.start = now
		return nil
	case asked.Before(now.Add(-slack)):
		return j.refuse(RefusedStart, "the start %s is in the past; leave it out to start at once", instant(asked))
	case asked.After(now) && j.request.Urgent:
		return j.refuse(RefusedStart, "break-glass starts at once; leave the start out")
	case asked.After(now) && ahead.span == 0:
		return j.refuse(RefusedStart, "entry %s does not allow a later start; leave the start out, and request it when it is needed",
			ahead.entry)
	case asked.After(now.Add(ahead.span.Std())):
		return j.refuse(RefusedStart, "the start %s is too far ahead (%s); ask for one until %s", instant(asked), ahead,
			instant(now.Add(ahead.span.Std())))
	}
	j.start = now
	if asked.After(now) {
		j.start = asked
	}
	return nil
}

// checkDuration judges the duration. What was asked for is never cut short; what was left open takes what every limit
// allows.
func (j *judge) checkDuration() error {
	asked, most := j.request.Duration, j.terms.most
	if j.grant.Urgent && j.terms.breakGlass.span < most.span {
		most = j.terms.breakGlass
	}
	left := j.remaining()
	switch {
	case left.span >= window.Duration(policy.MinGrant):
	case j.request.Renews != nil:
		return j.refuse(RefusedNotExtendable,
			"it lasts %s already (%s); request a new one when it is over, after a break of %s",
			roundDown(j.terms.extend.total.span-left.span), j.terms.extend.total,
			roundUp(window.Duration(access.ConsecutiveGap(j.grant.MostInRow))))
	default:
		return j.refuse(RefusedTooLong,
			"consecutive grants already last as long as is allowed (%s); ask for a start after a break of %s",
			j.terms.extend.total, roundUp(window.Duration(access.ConsecutiveGap(j.grant.MostInRow))))
	}
	if left.span < most.span {
		most = left
	}
	switch {
	case asked < 0 || asked > 0 && asked < policy.MinGrant:
		return j.refuse(RefusedDuration, "%s is not a valid duration; ask for at least %s",
			window.Duration(asked), policy.MinGrant)
	case asked > most.span.Std():
		return j.refuse(RefusedTooLong, "%s is too long (%s); ask for at most %s", window.Duration(asked), most,
			roundDown(most.span))
	case asked == 0:
		decides := j.terms.byDefault
		if most.span < decides.span {
			decides = most
		}
		asked = decides.span.Std()
		if decides.entry != j.terms.entries[0].Name || decides != j.terms.byDefault {
			j.grant.Limit = decides.String()
		}
	}
	j.grant.Duration = access.Duration(asked)
	return nil
}

// remaining returns how long the target may still be held in a row: by extensions, or by requests that follow one
// another.
func (j *judge) remaining() limit {
	left := j.terms.extend.total
	j.grant.MostInRow = access.Duration(left.span)
	room := access.ConsecutiveRoom(j.start, j.grant.MostInRow, j.request.Earlier)
	if j.request.Renews != nil {
		room = min(room, left.span.Std()-j.start.Sub(j.first.From))
	}
	if left.span.Std() == room {
		return left
	}
	left.span = window.Duration(room.Truncate(time.Second))
	left.words = roundDown(left.span).String() + " left of " + left.words
	return left
}

// roundDown returns a span as people ask for one: whole seconds, and whole minutes where it is long.
func roundDown(d window.Duration) window.Duration {
	if d.Std() >= roundMinutes {
		return window.Duration(d.Std().Truncate(time.Minute))
	}
	return window.Duration(d.Std().Truncate(time.Second))
}

// roundUp is roundDown for what has to pass.
func roundUp(d window.Duration) window.Duration {
	if down := roundDown(d); down == d {
		return d
	} else if d.Std() >= roundMinutes {
		return down + window.Duration(time.Minute)
	} else {
		return down + window.Duration(time.Second)
	}
}

// roundMinutes is from how long on nobody cares about seconds.
const roundMinutes = 10 * time.Minute

// secondAfter returns the first whole second that is not before the instant.
func secondAfter(t time.Time) time.Time {
	if whole := t.Truncate(time.Second); !whole.Equal(t) {
		return whole.Add(time.Second)
	}
	return t
}

// checkCooldown judges the rest between the grant and the person's others. An extension takes none.
func (j *judge) checkCooldown() error {
	rest := j.terms.cooldown
	if rest.span == 0 || j.request.Renews != nil {
		return nil
	}
	j.grant.Rest = access.Duration(rest.span)
	end := j.start.Add(j.grant.Duration.Std())
	for _, g := range j.request.Earlier {
		if g.WithinCooldown(j.start, end, rest.span.Std()) {
			return j.refuse(RefusedCooldown, "there must be %s, and grant %s runs until %s; ask for a start at or after %s",
				rest, g.ID, instant(g.Until), instant(secondAfter(g.Until.Add(rest.span.Std()))))
		}
	}
	return nil
}

// checkApproval judges whether the grant has to wait, and for whom.
func (j *judge) checkApproval() error {
	old := j.request.Renews
	needed := len(j.terms.approvals) > 0 && !j.grant.Urgent
	if old != nil { // what nobody approved at first is not prolonged without approval either
		needed = needed && (j.terms.extend.approval || old.Urgent)
	}
	if !needed {
		j.grant.State = access.GrantGranted
		j.grant.From, j.grant.Until = j.start, j.start.Add(j.grant.Duration.Std())
		return nil
	}
	approvers := j.terms.approvers(&j.request)
	if len(approvers) < j.terms.needs {
		return j.refuse(RefusedApprovers,
			"too few people could approve: %d are needed, and there are %d besides the requester and the person; name more in each of the entries %s",
			j.terms.needs, len(approvers), strings.Join(j.grant.Entries, ", "))
	}
	j.grant.State = access.GrantWaiting
	j.grant.Needs, j.grant.Approvers, j.grant.Codes = j.terms.needs, approvers, j.terms.codes
	j.grant.ApprovalDeadline = j.request.Now.Add(j.terms.wait.Std())
	if old != nil && j.grant.ApprovalDeadline.After(old.Until) {
		j.grant.ApprovalDeadline = old.Until // it continues, or it is not needed
	}
	return nil
}
