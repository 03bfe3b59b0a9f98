package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// Times of a grant's workflow.
const (
	askAgain      = time.Minute      // after which the organization's loop is asked again when it does not answer
	soonAgain     = 15 * time.Second // the longest wait after a failure
	takeAgain     = time.Minute      // the longest wait after a refusal to take back
	giveAgain     = 5 * time.Minute  // the longest wait after a refusal to give
	firstRequest  = time.Minute      // within which the request is stored that a workflow was started for
	renewGrantAt  = 1000             // history events after which a grant starts a fresh history
	firstGrantTry = 2 * time.Second
)

// TemporaryGrant manages one person's grants of one target, until the last of them is over. The grants are in the
// ledger; the workflow is their schedule. It has access given when they begin and removed when the last one ends, by
// asking the organization's loop, which alone writes, until that was read back.
//
// The timer of the next end runs before anything is asked for, and if this workflow is lost, the organization's next
// verification finds the grant in the ledger. A cancelled workflow ends the grants and has their access removed first.
func TemporaryGrant(ctx workflow.Context, raw converter.RawValue) (messages.GrantState, error) {
	in, err := kit.Input[messages.TemporaryGrantInput](ctx, messages.TemporaryGrant, raw)
	if err != nil {
		return messages.GrantState{}, err
	}
	id := messages.GrantID(in.Org, in.Target, in.Key)
	if is := workflow.GetInfo(ctx).WorkflowExecution.ID; is != id &&
		!slices.Contains(messages.FormerGrantIDs(in.Org, in.Target, in.Key), is) {
		return messages.GrantState{}, kit.Refuse(
			"the workflow ID must be %s, not %s; ask for a grant by the update %s of %s", id, is, messages.Grant,
			messages.OrgSyncID(in.Org))
	}
	g := &temporaryGrant{in: in, log: workflow.GetLogger(ctx), stale: true}
	if in.State != nil {
		if err := kit.CheckStateOf(ctx, in.State.Workflow, workflow.GetInfo(ctx).WorkflowExecution.ID); err != nil {
			return messages.GrantState{}, err
		}
		g.GrantState = *in.State
	}
	g.Workflow = workflow.GetInfo(ctx).WorkflowExecution.ID
	if in.State == nil {
		g.Sent, g.Told = in.Sent, in.Told
	}
	g.Sent, g.Told = messages.SentNotices(g.Sent, g.Told), nil
	g.in.State, g.in.Sent, g.in.Told = nil, nil, nil
	if err := g.listen(ctx); err != nil {
		return g.GrantState, err
	}
	kit.YieldToCoroutines(ctx) // the signal that started this needs no second read
	state, err := g.run(ctx)
	return display.Answer(state), err
}

// temporaryGrant is the workflow's state: what is carried through continue-as-new, and what is not.
type temporaryGrant struct {
	messages.GrantState
	in       messages.TemporaryGrantInput
	log      log.Logger
	handlers *kit.MessageHandlers
	history  *kit.Renewal

	stale     bool            // the ledger may have changed: read the grants again
	again     time.Time       // when to retry that after a failure; zero: it did not fail
	wake      bool            // something happened: check again what is due
	telling   int             // notices being sent
	timer     kit.Timer       // of what is due next
	shown     shownAttributes // what the search attributes say
	confirmed string          // what the loop has just said is right, and the ledger has to show
	answers   []messages.GrantReconciledSignal
	waited    bool // for the request that this was started for
	handed    bool // grants were handed over to another workflow
}

// run does what is due, and otherwise waits. It completes a step even if the workflow is cancelled.
func (g *temporaryGrant) run(ctx workflow.Context) (messages.GrantState, error) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	for {
		g.handlers.RefuseUnknown(ctx)
		g.setTimer(whole)
		g.show(whole)
		now := workflow.Now(ctx)
		switch {
		case len(g.answers) > 0:
			g.takeAnswer(now)
		case g.stale || g.ledgerUnread() && !now.Before(g.again):
			g.read(whole)
		case ctx.Err() != nil && !g.Cancelled:
			g.revokeAll(whole)
		case g.overdueRequest(now) != "":
			g.expire(whole, g.overdueRequest(now))
		case g.askDue(now):
			g.askLoop(whole)
		case g.noticeDue(now):
			g.sendNotice(whole, now)
		case g.done(ctx):
			if g.awaitFirstRequest(ctx, whole) {
				continue
			}
			if kit.YieldToCoroutines(ctx); g.done(ctx) {
				return g.GrantState, ctx.Err()
			}
		case g.renewable(ctx):
			if kit.YieldToCoroutines(ctx); !g.renewable(ctx) {
				continue
			}
			state := g.GrantState
			again := g.in
			again.State = &state
			return g.GrantState, workflow.NewContinueAsNewError(ctx, messages.TemporaryGrant, again)
		default:
			g.wake = false
			_ = workflow.Await(whole, func() bool {
				return g.wake || ctx.Err() != nil && !g.Cancelled || len(g.handlers.Unknown(ctx)) > 0
			})
		}
	}
}

// awaitFirstRequest waits, once, for the request that this was started for: the workflow is started before its request
// is stored, so that no request is stored without a timer for its end. It reports whether it waited.
func (g *temporaryGrant) awaitFirstRequest(ctx, whole workflow.Context) bool {
	if len(g.Grants) > 0 || g.waited || g.Cancelled ||
		workflow.GetVersion(ctx, "started-before-its-request", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return false
	}
	g.waited = true
	kit.AwaitUntil(whole, workflow.Now(ctx).Add(firstRequest), "wait for the request that this was started for",
		func() bool {
			return g.stale || ctx.Err() != nil || len(g.handlers.Unknown(ctx)) > 0
		})
	g.stale = true
	return true
}

// mostKept is how many finished grants are still shown.
const mostKept = 5

// read reads the grants from the ledger: open ones, and those that were open before.
func (g *temporaryGrant) read(ctx workflow.Context) {
	g.stale, g.again = false, time.Time{}
	var over []access.Grant
	var known []string
	for _, one := range g.Grants {
		if one.Settled() {
			over = append(over, one)
		} else {
			known = append(known, one.ID)
		}
	}
	book, err := act.ReadGrants(ctx,
		grants.GrantsInput{Org: g.in.Org, Target: g.in.Target, Key: g.in.Key, Known: known})
	if err != nil {
		g.readAgain(ctx, "the grants cannot be read from the ledger: "+kit.MessageOf(err))
		return
	}
	own, err := g.handOverMoved(ctx, book)
	if err != nil {
		g.readAgain(ctx, "grants cannot be handed over to the workflow of their account: "+kit.MessageOf(err))
	}
	g.Grants = append(over[max(0, len(over)-mostKept):], own...)
	if g.ledgerUnread() {
		return
	}
	switch what, _ := g.pendingWork(workflow.Now(ctx)); what {
	case "":
		g.Blocked = nil
	case g.confirmed: // the ledger's clock is behind ours
		g.recordBlocked(workflow.Now(ctx), "the ledger does not show yet that it was carried out", true)
	}
	g.confirmed = ""
}

// readAgain schedules another read of the ledger; the workflow does not end before that.
func (g *temporaryGrant) readAgain(ctx workflow.Context, why string) {
	g.recordBlocked(workflow.Now(ctx), why, true)
	if workflow.GetVersion(ctx, "reads-again", workflow.DefaultVersion, 1) > workflow.DefaultVersion {
		g.again = g.Blocked.Retry
	}
}

// ledgerUnread reports whether the last read of the ledger failed.
func (g *temporaryGrant) ledgerUnread() bool { return !g.again.IsZero() }

// handOverMoved hands grants whose key has changed over to the workflow of that key, and returns the others. A key
// changes when the account behind an address becomes known.
func (g *temporaryGrant) handOverMoved(ctx workflow.Context, book []access.Grant) ([]access.Grant, error) {
	in := grants.HandOverInput{Org: g.in.Org}
	own := slices.DeleteFunc(slices.Clone(book), func(one access.Grant) bool {
		moved := one.Key != "" && one.Key != g.in.Key
		if moved {
			in.Grants = append(in.Grants, one.ID)
		}
		return moved
	})
	if len(in.Grants) == 0 {
		return own, nil
	}
	for _, sent := range g.Sent {
		if slices.Contains(in.Grants, sent.Grant) {
			in.Sent = append(in.Sent, sent)
		}
	}
	err := act.HandOver(ctx, in)
	g.waited, g.handed = true, true // no need to wait for a first request
	return own, err
}

// revokeAll ends all grants, because the workflow was cancelled.
func (g *temporaryGrant) revokeAll(ctx workflow.Context) {
	g.Cancelled = true
	if _, err := act.RevokeGrant(ctx, grants.RevokeGrantInput{
		Org: g.in.Org, Key: g.in.Key, RevokeInput: messages.RevokeInput{Target: g.in.Target, RequestedBy: "Temporal",
			Reason: "the grant's workflow was cancelled"},
	}); err != nil {
		g.log.Error("the grants of a cancelled workflow are not ended; they end by time", "error", err)
	}
	g.stale = true
}

// overdueRequest returns the request whose approval deadline has passed; "" when there is none.
func (g *temporaryGrant) overdueRequest(now time.Time) string {
	for _, one := range g.Grants {
		if one.State == access.GrantWaiting && !now.Before(one.ApprovalDeadline) {
			return one.ID
		}
	}
	return ""
}

func (g *temporaryGrant) expire(ctx workflow.Context, id string) {
	one, err := act.ExpireGrant(ctx, grants.GrantInput{Org: g.in.Org, ID: id})
	if err != nil {
		g.log.Error("a request that nobody decided is not closed", "request", id, "error", err)
		g.drop(id)
		return
	}
	if one.State == access.GrantWaiting { // the ledger's clock is behind ours
		one.ApprovalDeadline = workflow.Now(ctx).Add(firstGrantTry)
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

// pendingWork returns what is to be written now: grants that began and were not given, grants that are over and were
// not taken back. "" when all is right.
func (g *temporaryGrant) pendingWork(now time.Time) (what string, taking bool) {
	for _, one := range g.Grants {
		switch {
		case one.State != access.GrantGranted && one.State != access.GrantEnded, now.Before(one.From):
		case now.Before(one.Until) && one.ProvisionedAt.IsZero():
			what += "+" + one.ID
		case !now.Before(one.Until) && one.RevokedAt.IsZero():
			what, taking = what+"-"+one.ID, true
		}
	}
	return what, taking
}

// askDue reports whether the organization's loop is to be asked now: something is not right, and it was not asked for
// just that, or did not answer for long, or the time of another attempt has come.
func (g *temporaryGrant) askDue(now time.Time) bool {
	what, _ := g.pendingWork(now)
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

// askLoop asks the organization's loop to bring the person in line with the grants.
func (g *temporaryGrant) askLoop(ctx workflow.Context) {
	now := workflow.Now(ctx)
	what, _ := g.pendingWork(now)
	g.Turn++
	g.Asked = &messages.LoopRequest{Turn: g.Turn, For: what, At: now}
	last := g.Grants[len(g.Grants)-1] // unsettled ones stand last
	err := workflow.SignalExternalWorkflow(ctx, messages.OrgSyncID(g.in.Org), "", messages.ReconcileGrant,
		messages.ReconcileGrantSignal{
			Workflow: workflow.GetInfo(ctx).WorkflowExecution.ID, Key: g.in.Key, Person: last.Person, Email: last.Email,
			Target: g.in.Target, Turn: g.Turn,
		}).Get(ctx, nil)
	if err != nil {
		g.Asked = nil
		g.recordBlocked(workflow.Now(ctx), "workflow "+messages.OrgSyncID(g.in.Org)+
			", the only one that may write, is not running; start it with starter apply: "+kit.MessageOf(err), true)
	}
}

// takeAnswer takes in what the organization's loop answered.
func (g *temporaryGrant) takeAnswer(now time.Time) {
	in := g.answers[0]
	g.answers = g.answers[1:]
	if g.Asked == nil || in.Turn != g.Asked.Turn {
		return // an answer to an earlier question
	}
	asked := g.Asked
	g.Asked = nil
	if in.Right {
		g.Blocked, g.stale, g.confirmed = nil, true, asked.For
		return
	}
	g.recordBlocked(now, in.Why, in.Soon)
	g.Blocked.For = asked.For
}

// recordBlocked records why access could not be given or removed, and when to retry.
func (g *temporaryGrant) recordBlocked(now time.Time, why string, soon bool) {
	what, taking := g.pendingWork(now)
	b := messages.Blocked{For: what, Since: now}
	if g.Blocked != nil {
		b.Since, b.Tries = g.Blocked.Since, g.Blocked.Tries
	}
	b.Why = kit.Bounded(why)
	b.Tries++
	longest := giveAgain
	switch {
	case soon:
		longest = soonAgain
	case taking:
		longest = takeAgain
	}
	b.Retry = now.Add(kit.Backoff{First: firstGrantTry, Longest: longest}.After(b.Tries))
	g.Blocked = &b
}

// done reports whether all grants are settled and all notices sent.
func (g *temporaryGrant) done(ctx workflow.Context) bool {
	for _, one := range g.Grants {
		if !one.Settled() {
			return false
		}
	}
	return g.telling == 0 && !g.ledgerUnread() && g.quiet(ctx)
}

// renewable reports whether the history may end here.
func (g *temporaryGrant) renewable(ctx workflow.Context) bool {
	return g.history.Due(ctx) && (ctx.Err() == nil || g.Cancelled) && g.telling == 0 && g.quiet(ctx)
}

// quiet reports whether no message is unhandled or being handled.
func (g *temporaryGrant) quiet(ctx workflow.Context) bool {
	return !g.stale && len(g.answers) == 0 && g.handlers.Quiet(ctx, messages.Look, messages.GrantReconciled)
}

// setTimer keeps one timer running, for what is due next; it is set before anything is asked for.
func (g *temporaryGrant) setTimer(ctx workflow.Context) {
	due, why := g.nextDue(workflow.Now(ctx))
	g.timer.Arm(ctx, due, why, func() { g.wake = true })
}

// nextDue returns when something is due next; zero when nothing is.
func (g *temporaryGrant) nextDue(now time.Time) (due time.Time, why string) {
	next := kit.NewAgenda(now)
	for _, one := range g.Grants {
		switch one.State {
		case access.GrantWaiting:
			next.At(one.ApprovalDeadline, "request "+one.ID+" expires")
		case access.GrantGranted, access.GrantEnded:
			next.At(one.From, holderLabel(one)+" gets "+string(one.Target))
			next.At(one.Until, holderLabel(one)+" loses "+string(one.Target)+" (unless something else gives it)")
			if one.Remind > 0 && !g.sent(noticeReminder, one.ID, time.Time{}) {
				next.At(one.Until.Add(-one.Remind.Std()), "remind "+holderLabel(one)+" of the end")
			}
		}
	}
	next.At(g.again, "read the ledger again")
	if what, _ := g.pendingWork(now); what != "" {
		if g.Asked != nil {
			next.At(g.Asked.At.Add(askAgain), "ask the organization's loop again")
		} else if g.Blocked != nil {
			next.At(g.Blocked.Retry, "retry what could not be done")
		}
	}
	return next.Due, next.Why
}

func holderLabel(one access.Grant) string {
	if one.Email != "" {
		return one.Email
	}
	return one.Person
}
