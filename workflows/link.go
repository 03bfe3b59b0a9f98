package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// Bounds and times of a batch of links.
const (
	renewLinkAt  = 1000             // history events after which a batch continues as new
	usualLinks   = 500              // people of a batch that names none
	usualWave    = 50               // people linked at a time
	linkLag      = 10 * time.Second // until a link that is not seen is looked for again
	linkTries    = 6                // how often it is looked for
	longestNudge = 15 * time.Minute // between questions to the organization's loop
)

// Link links a batch of accounts that people have, made by a login or an invitation, to records of a SCIM directory: a
// preview of everybody in it, which waits for approval; then waves, each written by the organization's loop and read
// back. It writes nothing itself.
//
// The batch stops when something is not as the preview shows it: another account, a group or a role that came or went.
// Whoever is linked stays linked; the same batch started again says of them that they already are.
func Link(ctx workflow.Context, raw converter.RawValue) (messages.LinkState, error) {
	in, err := kit.Input[messages.LinkInput](ctx, messages.Link, raw)
	if err != nil {
		return messages.LinkState{}, err
	}
	is := workflow.GetInfo(ctx).WorkflowExecution.ID
	org, batch, ok := messages.LinkOf(is)
	if !ok {
		return messages.LinkState{}, kit.Refuse("the workflow ID must be %s, not %s",
			messages.LinkID("<organization>", "<batch>"), kit.Bounded(is))
	}
	if err := checkLink(in, batch); err != nil {
		return messages.LinkState{}, err
	}
	k := &linkBatch{in: in, log: workflow.GetLogger(ctx)}
	if in.State != nil {
		if err := kit.CheckStateOf(ctx, in.State.Workflow, is); err != nil {
			return messages.LinkState{}, err
		}
		k.LinkState = *in.State
	} else {
		k.LinkState = messages.LinkState{Workflow: is, Org: org, Batch: batch, Provision: in.Provision,
			State: messages.LinkReading, Begun: workflow.Now(ctx)}
		k.Run = messages.LinkRun(batch, k.Begun)
	}
	k.in.State = nil
	if err := k.listen(ctx); err != nil {
		return k.LinkState, err
	}
	err = k.run(ctx)
	return display.Answer(k.LinkState), kit.PlainError(err)
}

func checkLink(in messages.LinkInput, batch string) error {
	switch {
	case in.Provision == "":
		return kit.Refuse("provision is missing: name the policy's provision whose directory gets the records")
	case in.By == "":
		return kit.Refuse("by is missing: say who requests it")
	case slices.Contains(in.People, ""):
		return kit.Refuse("people has an empty name: write e-mail addresses, account ids or source:key")
	case messages.CheckBatch(batch) != nil:
		return kit.Refuse("%v", messages.CheckBatch(batch))
	case len(in.People) > messages.MostLinks, in.Most > messages.MostLinks:
		return kit.Refuse("a batch has at most %d people: split it into several", messages.MostLinks)
	case in.Most < 0:
		return kit.Refuse("most is %d: write 1 to %d, or leave it out", in.Most, messages.MostLinks)
	case in.Wave < 0, in.Wave > messages.MostLinkWave:
		return kit.Refuse("wave is %d: write 1 to %d, or leave it out", in.Wave, messages.MostLinkWave)
	}
	return nil
}

// linkBatch is the workflow's state: what is carried through continue-as-new, and what is not.
type linkBatch struct {
	messages.LinkState
	in       messages.LinkInput
	log      log.Logger
	handlers *kit.MessageHandlers
	history  *kit.Renewal

	deciding bool // a decision on the preview is being recorded
	looked   bool // the organization's loop says that it is through with the wave
	shown    string
}

// run goes from state to state, and tries again what fails on the way.
func (k *linkBatch) run(ctx workflow.Context) error {
	for {
		k.handlers.RefuseUnknown(ctx)
		k.show(ctx)
		var err error
		switch {
		case ctx.Err() != nil:
			return k.cancel(ctx)
		case k.history.Due(ctx) && k.handlers.Quiet(ctx) && !k.deciding:
			if kit.YieldToCoroutines(ctx); !k.handlers.Quiet(ctx) || k.deciding {
				continue
			}
			state, again := k.LinkState, k.in
			again.State = &state
			return workflow.NewContinueAsNewError(ctx, messages.Link, again)
		case k.State == messages.LinkReading:
			err = k.preview(ctx)
		case k.State == messages.LinkHeld:
			_ = workflow.Await(ctx, func() bool {
				return k.State != messages.LinkHeld && !k.deciding || k.history.Due(ctx) && !k.deciding ||
					len(k.handlers.Unknown(ctx)) > 0
			})
		case k.State == messages.LinkLinking:
			err = k.link(ctx)
		default:
			return k.end(ctx)
		}
		if err == nil || ctx.Err() != nil {
			if err == nil {
				k.Problem = nil
			}
			continue
		}
		if k.State == messages.LinkReading && isInputError(err) {
			return err
		}
		k.Problem = kit.RecordFailure(workflow.Now(ctx), k.Problem, messages.Problem{Kind: kit.KindOf(err),
			Message: kit.MessageOf(err)}, loopBackoff)
		k.show(ctx)
		kit.AwaitUntil(ctx, k.Problem.Retry, "try again after a problem", func() bool { return false })
	}
}

// isInputError reports whether what failed fails again until somebody asks for something else.
func isInputError(err error) bool {
	return slices.Contains([]string{session.ErrUnknown, session.ErrRefused, session.ErrPolicy}, kit.KindOf(err))
}

func (k *linkBatch) batch() provisioning.LinkRunInput {
	return provisioning.LinkRunInput{Batch: k.Batch, RunInput: provisioning.RunInput{Provision: k.Provision,
		RunInput: session.RunInput{Org: k.Org, Run: k.Run, Policy: k.Policy}}}
}

// preview finds the people, decides them piece by piece, and holds what is to be written.
func (k *linkBatch) preview(ctx workflow.Context) error {
	if k.Policy == "" {
		most := k.in.Most
		if most == 0 {
			most = usualLinks
		}
		picked, err := act.PickLinks(ctx, provisioning.PickLinksInput{LinkRunInput: k.batch(), People: k.in.People,
			Most: most, By: k.in.By, Note: kit.Bounded(k.in.Note), Started: k.Begun})
		if err != nil {
			return err
		}
		k.Policy, k.Gap, k.ReadOnly, k.in.People = picked.Policy, picked.Gap, picked.ReadOnly, nil
		return nil
	}
	if !k.Read {
		piece, err := act.PreviewLinks(ctx, provisioning.PreviewLinksInput{LinkRunInput: k.batch(), After: k.After})
		if err != nil {
			return err
		}
		k.After, k.Read = piece.Next, piece.Next == ""
		return nil
	}
	judged, err := act.JudgeLinks(ctx, provisioning.JudgeLinksInput{LinkRunInput: k.batch(),
		Observe: k.ReadOnly != ""})
	if err != nil {
		return err
	}
	k.Counts, k.Hold, k.State = judged.Counts, judged.Hold, messages.LinkHeld
	if k.Hold == nil {
		k.State = messages.LinkDone
	}
	return nil
}

// link takes the next wave, asks the organization's loop to write it, and compares what became of it.
func (k *linkBatch) link(ctx workflow.Context) error {
	if len(k.Linking) == 0 {
		size := k.in.Wave
		if size == 0 {
			size = usualWave
		}
		next, err := act.NextWave(ctx,
			provisioning.NextWaveInput{LinkRunInput: k.batch(), Wave: k.Wave + 1, Size: size, Since: k.Begun})
		switch {
		case err != nil:
			return err
		case len(next.Surprise) > 0:
			k.Surprise, k.State = next.Surprise, messages.LinkStopped
			return nil
		case len(next.Identities) == 0:
			k.State = messages.LinkDone
			return nil
		}
		k.Wave, k.Linking, k.Tries, k.Written = k.Wave+1, next.Identities, 0, false
		k.show(ctx)
	}
	k.Tries++
	if k.Written {
		kit.AwaitUntil(ctx, workflow.Now(ctx).Add(linkLag), "look for the links again", func() bool { return false })
	} else if err := k.askLoop(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	seen, err := act.CheckWave(ctx, provisioning.CheckWaveInput{LinkRunInput: k.batch(), Identities: k.Linking,
		Since: k.Begun, Last: k.Written && k.Tries >= linkTries})
	if err != nil {
		return err
	}
	k.Counts, k.Gap = seen.Counts, seen.Gap
	switch {
	case len(seen.Surprise) > 0:
		k.Surprise, k.State = seen.Surprise, messages.LinkStopped
	case seen.Open > 0: // it was paused, say: it is asked again, less and less often
	case seen.Unseen > 0 && !k.Written:
		k.Written, k.Tries = true, 0
	case seen.Unseen == 0:
		k.Linking = nil
	}
	return nil
}

// askLoop asks the organization's loop to write the wave, and waits until it is through, for a while.
func (k *linkBatch) askLoop(ctx workflow.Context) error {
	k.looked = false
	err := workflow.SignalExternalWorkflow(ctx, messages.OrgSyncID(k.Org), "", messages.LinkWave,
		messages.LinkWaveSignal{Batch: k.Batch, Run: k.Run, Plan: k.Plan, Provision: k.Provision,
			Identities: k.Linking, By: k.By, Wave: k.Wave}).Get(ctx, nil)
	if err != nil {
		return err
	}
	wait := kit.Backoff{First: askAgain, Longest: longestNudge}.After(k.Tries)
	kit.AwaitUntil(ctx, workflow.Now(ctx).Add(wait), "ask the organization's loop again",
		func() bool { return k.looked })
	return nil
}

// end closes the batch in the ledger: nothing that was not written is written any more.
func (k *linkBatch) end(ctx workflow.Context) error {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	ended, err := act.EndLinks(whole, provisioning.EndLinksInput{LinkRunInput: k.batch(), State: k.State})
	if err != nil {
		return err
	}
	k.Counts, k.Hold, k.Linking = ended.Counts, nil, nil
	if k.State == messages.LinkDone || k.State == messages.LinkStopped { // the states, and the loop's own hold
		err := workflow.SignalExternalWorkflow(whole, messages.OrgSyncID(k.Org), "", messages.ProvisionNow,
			messages.ProvisionNowInput{Provision: k.Provision, By: messages.LinkID(k.Org, k.Batch)}).Get(whole, nil)
		if err != nil {
			k.log.Warn("the organization's loop does not hear of the batch's end", "error", err)
		}
	}
	k.show(whole)
	return nil
}

// cancel ends a batch that was cancelled: it writes no more, and finds out what became of the wave under way.
func (k *linkBatch) cancel(ctx workflow.Context) error {
	k.State = messages.LinkStopped
	k.Surprise = append(k.Surprise, "the workflow was cancelled")
	whole, _ := workflow.NewDisconnectedContext(ctx)
	if len(k.Linking) > 0 {
		if _, err := act.EndLinks(whole, provisioning.EndLinksInput{LinkRunInput: k.batch(), State: k.State,
			LinesOnly: true}); err != nil {
			return err
		}
	}
	for try := 1; len(k.Linking) > 0 && try <= linkTries; try++ {
		seen, err := act.CheckWave(whole, provisioning.CheckWaveInput{LinkRunInput: k.batch(), Identities: k.Linking,
			Since: k.Begun, Last: try == linkTries})
		if err != nil {
			k.log.Warn("what became of the last wave is not known", "error", err)
			break
		}
		if k.Surprise = append(k.Surprise, seen.Surprise...); seen.Open+seen.Unseen == 0 {
			break
		}
		kit.AwaitUntil(whole, workflow.Now(ctx).Add(linkLag), "let what is in flight end", func() bool { return false })
	}
	if err := k.end(ctx); err != nil {
		return err
	}
	return ctx.Err()
}
