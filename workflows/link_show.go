package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// show updates the Web UI: search attributes when the state changed, current details always.
func (k *linkBatch) show(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, k.details())
	if k.State == k.shown {
		return
	}
	k.shown = k.State
	if err := workflow.UpsertTypedSearchAttributes(ctx, messages.AttributeOrg.ValueSet(k.Org),
		messages.AttributeState.ValueSet(k.State)); err != nil {
		k.log.Warn("the state is not shown in the workflow list", "error", err)
	}
}

// details returns the page that ops see in the Web UI, in Markdown.
func (k *linkBatch) details() string {
	var page display.Page
	page.Line("## Batch %s of %s, provision %s: %s\n", k.Batch, k.Org, k.Provision, k.State)
	if k.Problem != nil {
		page.Line("**%s** since %s, tried %d times, next at %s: %s\n", k.Problem.Kind, instant(k.Problem.Since),
			k.Problem.Tries, instant(k.Problem.Retry), k.Problem.Message)
	}
	if len(k.Surprise) > 0 {
		page.Line("**Stopped:** no one else is linked.\n")
		for _, s := range k.Surprise {
			page.Line("- %s", s)
		}
		page.Line("\nFind out why, then start the batch again: people who are linked already are left as they are.\n")
	}
	if k.ReadOnly != "" {
		page.Line("**A preview only:** nothing is linked, since %s.\n", k.ReadOnly)
	}
	if k.State == messages.LinkLinking {
		page.Line("Wave %d: %d people. Approved by %s.\n", k.Wave, len(k.Linking), k.By)
		if k.Tries > 1 && !k.Written {
			page.Line("**%s has not written the wave yet**, and was asked %d times. See its page: it may be paused, or "+
				"the provision has a problem.\n", messages.OrgSyncID(k.Org), k.Tries)
		}
	}
	page.Line("- people: %s", describeStates(k.Counts))
	page.Line("- managed accounts without a record, as of the last full verification: %d", k.Gap)
	page.Line("\nThe people, what is kept and what is overwritten: %s\n",
		display.Starter("links", k.Org, k.Batch))
	if k.Hold != nil {
		page.Line("### Waits for a decision\n")
		for _, rule := range k.Hold.Rules {
			page.Line("- %s", rule)
		}
		page.Line("\nApprove or reject exactly this preview, %s:", display.Code(k.Hold.Plan))
		for _, name := range []string{messages.ApprovePlan, messages.RejectPlan} {
			page.Command(display.Update(k.Workflow, name,
				display.Input{{"plan", k.Hold.Plan}, {"by", messages.You}, {"note", ""}}))
		}
	}
	describeRefused(&page, k.Refused)
	return clipDetails(page.String())
}
