package workflows

import (
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// show updates the Web UI: search attributes when the state changed, current details always.
func (k *groupRestore) show(ctx workflow.Context) {
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
func (k *groupRestore) details() string {
	var page display.Page
	page.Line("## Restore of group %s of %s: %s\n", k.name(), k.Org, k.State)
	if k.Problem != nil {
		page.Line("**%s** since %s, tried %d times, next at %s: %s\n", k.Problem.Kind, instant(k.Problem.Since),
			k.Problem.Tries, instant(k.Problem.Retry), k.Problem.Message)
	}
	if len(k.Differs) > 0 {
		page.Line("**The group differs from its record** (%d):\n", k.Differing)
		for _, one := range k.Differs {
			page.Line("- %s", one)
		}
		if k.State == messages.RestoreStopped {
			page.Line("\nFind out why, then start the restore again: it adds only what the group lacks.\n")
		}
	}
	if k.ReadOnly != "" {
		page.Line("**A preview only:** nothing is restored, since %s.\n", k.ReadOnly)
	}
	if k.State == messages.RestoreRestoring && k.Tries > 1 && !k.Written {
		page.Line("**%s has not written it yet**, and was asked %d times. See its page: it may be paused, or have a "+
			"problem.\n", messages.OrgSyncID(k.Org), k.Tries)
	}
	if k.Lost.Name != "" {
		page.Line("- by its record of %s: %d members; app roles: %s", instant(k.Lost.Refreshed), k.Lost.Members,
			joinedOrNone(k.Lost.Roles))
		page.Line("- members: %s", describeStates(k.Counts))
		for _, one := range k.ByHand {
			page.Line("- by hand: %s", one)
		}
		page.Line("\nEverybody, and why some are left out: %s\n", display.Starter("plan", k.Org, "--run", k.Run))
	}
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

// name is that of the group, or its id before it is known.
func (k *groupRestore) name() string {
	if k.Lost.Name == "" {
		return k.Group
	}
	return k.Lost.Name
}

func joinedOrNone(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}
