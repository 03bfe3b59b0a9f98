package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

// Patience of a grant's workflow.
const (
	askAgain      = time.Minute      // after which the organization's loop is asked again when it does not answer
	soonAgain     = 15 * time.Second // the longest wait after a failure
	takeAgain     = time.Minute      // the longest wait after a refusal to take back
	giveAgain     = 5 * time.Minute  // the longest wait after a refusal to give
	renewGrantAt  = 1000             // history events after which a grant starts a fresh history
	firstGrantTry = 2 * time.Second
)

// TemporaryGrant keeps what one person holds of one target by grants, until the last of them is over. The grants stand in
// the ledger; this is their clock. It has them given when they begin and taken back when the last one ends, by asking the
// organization's loop, which alone writes; and it does not rest before that was read back.
//
// The end is arranged before the beginning: the timer of the next end runs before anything is asked for, and should this
// workflow be lost, the organization's next verification finds the grant in the ledger. A cancelled grant ends early and is
// taken back before the workflow ends.
func TemporaryGrant(ctx workflow.Context, in messages.TemporaryGrantInput) (messages.GrantState, error) {
	id := messages.GrantID(in.Org, in.Target, in.Key)
	if is := workflow.GetInfo(ctx).WorkflowExecution.ID; is != id {
		return messages.GrantState{}, refuse("the workflow ID must be %s, not %s; ask for a grant by the update %s of %s", id, is, messages.Grant, messages.OrgSyncID(in.Org))
	}
	g := &temporaryGrant{in: in, log: workflow.GetLogger(ctx), stale: true}
	if in.State != nil {
		g.GrantState = *in.State
	}
	g.in.State = nil
	if err := g.listen(ctx); err != nil {
		return g.GrantState, err
	}
	others(ctx) // the signal that started this asks for the look that is taken anyway
	return g.run(ctx)
}

// temporaryGrant is the state: what is carried across histories, and what only this run knows.
type temporaryGrant struct {
	messages.GrantState
	in    messages.TemporaryGrantInput
	log   log.Logger
	words words

	stale   bool    // the ledger may know more: read the grants again
	wake    bool    // something happened: look again
	force   bool    // continue as new as soon as nothing waits
	telling int     // notices being sent
	timer   timer   // of what is due next
	shown   shownAs // what the search attributes say
	right   string  // what the loop has just said is right, and the ledger has to show
	heard   []messages.AttendedSignal
}

// run does what is due, and otherwise waits. What it does, it does to the end, even when it is cancelled.
func (g *temporaryGrant) run(ctx workflow.Context) (messages.GrantState, error) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	for {
		g.words.refuseUnknown(ctx)
		g.arm(whole)
		g.show(whole)
		now := workflow.Now(ctx)
		switch {
		case len(g.heard) > 0:
			g.take(now)
		case g.stale:
			g.read(whole)
		case ctx.Err() != nil && !g.Cancelled:
			g.end(whole)
		case g.undecided(now) != "":
			g.expire(whole, g.undecided(now))
		case g.mayAsk(now):
			g.ask(whole)
		case g.untold(now):
			g.tell(whole, now)
		case g.done(ctx):
			if others(ctx); g.done(ctx) {
				return g.GrantState, ctx.Err()
			}
		case g.renewable(ctx):
			if others(ctx); !g.renewable(ctx) {
				continue
			}
			state := g.GrantState
			again := g.in
			again.State = &state
			return g.GrantState, workflow.NewContinueAsNewError(ctx, messages.TemporaryGrant, again)
		default:
			g.wake = false
			_ = workflow.Await(whole, func() bool {
				return g.wake || ctx.Err() != nil && !g.Cancelled || len(g.words.unknown(ctx)) > 0
			})
		}
	}
}

// mostKept is how many grants that are over are still shown.
const mostKept = 5

// read takes the grants from the ledger: those that are open, and what became of those that were.
func (g *temporaryGrant) read(ctx workflow.Context) {
	g.stale = false
	var over []access.Grant
	var known []string
	for _, one := range g.Grants {
		if one.Settled() {
			over = append(over, one)
		} else {
			known = append(known, one.ID)
		}
	}
	book, err := readGrants(ctx, activities.GrantsInput{Org: g.in.Org, Target: g.in.Target, Key: g.in.Key, Known: known})
	if err != nil { // it is tried without end: only a mistake of ours comes here
		g.blocked(workflow.Now(ctx), "the grants cannot be read from the ledger: "+messageOf(err), true)
		return
	}
	g.Grants = append(over[max(0, len(over)-mostKept):], book...)
	switch what, _ := g.needs(workflow.Now(ctx)); what {
	case "":
		g.Blocked = nil
	case g.right: // the ledger's clock is behind ours
		g.blocked(workflow.Now(ctx), "the ledger does not say yet that it is right", true)
	}
	g.right = ""
}

// end ends all grants, because the workflow was cancelled.
func (g *temporaryGrant) end(ctx workflow.Context) {
	g.Cancelled = true
	if _, err := revokeGrant(ctx, activities.RevokeGrantInput{
		Org: g.in.Org, Key: g.in.Key, RevokeInput: messages.RevokeInput{Target: g.in.Target, RequestedBy: "Temporal", Reason: "the grant's workflow was cancelled"},
	}); err != nil {
		g.log.Error("the grants of a cancelled workflow are not ended; they end by time", "error", err)
	}
	g.stale = true
}

// undecided is the request whose time to be decided is over; "" when there is none.
func (g *temporaryGrant) undecided(now time.Time) string {
	for _, one := range g.Grants {
		if one.State == access.GrantWaiting && !now.Before(one.Decide) {
			return one.ID
		}
	}
	return ""
}

func (g *temporaryGrant) expire(ctx workflow.Context, id string) {
	one, err := expireGrant(ctx, activities.GrantInput{Org: g.in.Org, ID: id})
	if err != nil {
		g.log.Error("a request that nobody decided is not closed", "request", id, "error", err)
		g.drop(id)
		return
	}
	if one.State == access.GrantWaiting { // the ledger's clock is behind ours
		one.Decide = workflow.Now(ctx).Add(firstGrantTry)
	}
	g.replace(one)
}

func (g *temporaryGrant) replace(one access.Grant) {
	for i := range g.Grants {
		if g.Grants[i].ID == one.ID {
			g.Grants[i] = one
		}
	}
}

func (g *temporaryGrant) drop(id string) {
	g.Grants = slices.DeleteFunc(g.Grants, func(one access.Grant) bool { return one.ID == id })
}

// needs names what is to be put right now: grants that began and were not given, grants that are over and were not taken
// back. "" when all is right.
func (g *temporaryGrant) needs(now time.Time) (what string, taking bool) {
	for _, one := range g.Grants {
		switch {
		case one.State != access.GrantGranted && one.State != access.GrantEnded, now.Before(one.From):
		case now.Before(one.Until) && one.Given.IsZero():
			what += "+" + one.ID
		case !now.Before(one.Until) && one.Taken.IsZero():
			what, taking = what+"-"+one.ID, true
		}
	}
	return what, taking
}

// mayAsk says that the organization's loop is to be asked now: something is not right, and it was not asked for just that,
// or did not answer for long, or the time of another attempt has come.
func (g *temporaryGrant) mayAsk(now time.Time) bool {
	what, _ := g.needs(now)
	switch {
	case what == "":
		return false
	case g.Asked != nil:
		return g.Asked.For != what || !now.Before(g.Asked.At.Add(askAgain))
	case g.Blocked != nil:
		return g.Blocked.For != what || !now.Before(g.Blocked.Retry)
	}
	return true
}

// ask has the organization's loop put the person right.
func (g *temporaryGrant) ask(ctx workflow.Context) {
	now := workflow.Now(ctx)
	what, _ := g.needs(now)
	g.Turn++
	g.Asked = &messages.Asked{Turn: g.Turn, For: what, At: now}
	last := g.Grants[len(g.Grants)-1] // unsettled ones stand last
	err := workflow.SignalExternalWorkflow(ctx, messages.OrgSyncID(g.in.Org), "", messages.Attend, messages.AttendSignal{
		Workflow: workflow.GetInfo(ctx).WorkflowExecution.ID, Person: last.Person, Email: last.Email, Target: g.in.Target, Turn: g.Turn,
	}).Get(ctx, nil)
	if err != nil {
		g.Asked = nil
		g.blocked(workflow.Now(ctx), "workflow "+messages.OrgSyncID(g.in.Org)+", which alone may write, does not run; start it with starter apply: "+messageOf(err), true)
	}
}

// take takes in what the organization's loop answered.
func (g *temporaryGrant) take(now time.Time) {
	in := g.heard[0]
	g.heard = g.heard[1:]
	if g.Asked == nil || in.Turn != g.Asked.Turn {
		return // an answer to an earlier question
	}
	asked := g.Asked
	g.Asked = nil
	if in.Right {
		g.Blocked, g.stale, g.right = nil, true, asked.For
		return
	}
	g.blocked(now, in.Why, in.Soon)
	g.Blocked.For = asked.For
}

// blocked notes why something is not right, and when it is tried again.
func (g *temporaryGrant) blocked(now time.Time, why string, soon bool) {
	what, taking := g.needs(now)
	b := messages.Blocked{For: what, Since: now}
	if g.Blocked != nil {
		b.Since, b.Tries = g.Blocked.Since, g.Blocked.Tries
	}
	b.Why = bounded(why)
	b.Tries++
	longest := giveAgain
	switch {
	case soon:
		longest = soonAgain
	case taking:
		longest = takeAgain
	}
	b.Retry = now.Add(min(firstGrantTry<<min(b.Tries-1, 10), longest))
	g.Blocked = &b
}

// done says that all grants are over, nothing is left of them, and everybody was told.
func (g *temporaryGrant) done(ctx workflow.Context) bool {
	for _, one := range g.Grants {
		if !one.Settled() {
			return false
		}
	}
	return g.telling == 0 && g.quiet(ctx)
}

// renewable says that the history may end here.
func (g *temporaryGrant) renewable(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	long := g.force || info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() > renewGrantAt
	return long && (ctx.Err() == nil || g.Cancelled) && g.telling == 0 && g.quiet(ctx)
}

// quiet says that nothing said to the workflow is unheard or being handled.
func (g *temporaryGrant) quiet(ctx workflow.Context) bool {
	for _, name := range []string{messages.Look, messages.Attended} {
		if workflow.GetSignalChannel(ctx, name).Len() > 0 {
			return false
		}
	}
	return !g.stale && len(g.heard) == 0 && !g.words.pending(ctx) && workflow.AllHandlersFinished(ctx)
}

// arm keeps one timer running, of what is due next; it runs before anything is asked for.
func (g *temporaryGrant) arm(ctx workflow.Context) {
	due, why := g.nextDue(workflow.Now(ctx))
	g.timer.arm(ctx, due, why, func() { g.wake = true })
}

// nextDue is when the clock asks for something; zero when it does not.
func (g *temporaryGrant) nextDue(now time.Time) (due time.Time, why string) {
	at := func(t time.Time, what string) {
		if t.After(now) && (due.IsZero() || t.Before(due)) {
			due, why = t, what
		}
	}
	for _, one := range g.Grants {
		switch one.State {
		case access.GrantWaiting:
			at(one.Decide, "request "+one.ID+" is no longer waited for")
		case access.GrantGranted, access.GrantEnded:
			at(one.From, who(one)+" gets "+string(one.Target))
			at(one.Until, who(one)+" loses "+string(one.Target)+" (unless something else gives it)")
			if one.Remind > 0 && !g.told(noticeReminder, one.ID) {
				at(one.Until.Add(-one.Remind.Std()), "remind "+who(one)+" of the end")
			}
		}
	}
	if what, _ := g.needs(now); what != "" {
		if g.Asked != nil {
			at(g.Asked.At.Add(askAgain), "ask the organization's loop again")
		} else if g.Blocked != nil {
			at(g.Blocked.Retry, "try again what could not be done")
		}
	}
	return due, why
}

func who(one access.Grant) string {
	if one.Email != "" {
		return one.Email
	}
	return one.Person
}
