package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// show updates the Web UI: search attributes when the state changed, current details always.
func (s *orgSync) show(ctx workflow.Context) {
	s.recordStuck(ctx)
	s.State = s.state()
	workflow.SetCurrentDetails(ctx, s.details())
	s.showSources(ctx)
	if s.State == s.shown {
		return
	}
	s.shown = s.State
	if err := workflow.UpsertTypedSearchAttributes(ctx, messages.AttributeOrg.ValueSet(s.Org),
		messages.AttributeState.ValueSet(s.State)); err != nil {
		s.log.Warn("the state is not shown in the workflow list", "error", err)
	}
}

func (s *orgSync) state() string {
	switch {
	case s.Problem != nil && s.Problem.Kind == session.ErrRetired:
		return messages.StateRetired
	case s.Paused != nil:
		return messages.StatePaused
	case s.waitsForPolicy():
		return messages.StateStarting
	case s.Problem != nil || s.Feed.Problem != "" || s.Stuck != "":
		return messages.StateProblem
	case s.Hold != nil, s.IdentityHold != nil:
		return messages.StateHeld
	case s.Policy == "":
		return messages.StateStarting
	case s.urgent != nil, s.grants != nil, s.Running != nil && s.Running.State != messages.RunReading:
		return messages.StateApplying
	case s.Running != nil:
		return messages.StateVerifying
	}
	return messages.StateOK
}

// waitsForPolicy reports whether no policy is in force, and none is to be tried.
func (s *orgSync) waitsForPolicy() bool {
	return s.Policy == "" && s.First == nil && s.Feed.Problem == "" && s.Stuck == ""
}

// details returns the page that ops see in the Web UI, in Markdown: at most 20,000 bytes.
func (s *orgSync) details() string {
	var page display.Page
	loop := messages.OrgSyncID(s.Org)
	page.Line("## %s is %s\n", s.Org, s.State)
	switch {
	case s.Problem != nil:
		page.Line("**%s** since %s, tried %d times.\n\n> %s\n", s.Problem.Kind, instant(s.Problem.Since),
			s.Problem.Tries, s.Problem.Message)
		switch {
		case !s.Problem.Retry.IsZero():
			page.Line("Next attempt at %s.\n", instant(s.Problem.Retry))
		case s.waitsForPolicy():
			page.Line("It waits for a policy that is accepted.\n")
		case s.retired():
			page.Line("Nothing is done until its policy is applied again.\n")
		}
	case s.Feed.Problem != "":
		page.Line("**The event feed cannot be watched:** %s\n", s.Feed.Problem)
	case s.Stuck != "":
		page.Line("**The workflow cannot renew its history:** %s\n", s.Stuck)
	}
	if s.Paused != nil {
		page.Line("**Paused by %s**: %s", s.Paused.By, s.Paused.Reason)
		page.Command(display.Update(loop, messages.Resume, display.Input{{"by", messages.You}}))
	}
	for _, h := range []*messages.Hold{s.Hold, s.IdentityHold} {
		if h != nil {
			s.describeHold(&page, h)
		}
	}
	if r := s.Running; r != nil {
		page.Line("### Running\n\nRun %s (%s): %s since %s, see workflow %s.\n", display.Code(r.Run), r.Trigger,
			r.State, instant(r.Started),
			display.Code(runID(messages.ReconcileInput{Org: s.Org, Run: r.Run, Scope: messages.Scope{Kind: r.Scope}})))
	}
	if n := len(s.Pending.Grants); n > 0 || s.grants != nil {
		page.Line("### Grants\n\n%d people wait for a run of grants, which goes ahead of everything else, even while paused.\n", n)
	}
	if s.LastRun != nil {
		page.Line("### Last run\n\n%s\n", describeRun(*s.LastRun))
	}
	if s.LastFull != nil && (s.LastRun == nil || s.LastFull.Run != s.LastRun.Run) {
		page.Line("### Last full verification\n\n%s\n", describeRun(*s.LastFull))
	}
	s.describeNoticed(&page)
	describeRefused(&page, s.Refused)
	s.describeSources(&page)
	s.describeProvisions(&page)
	s.describeWatch(&page)
	return clipDetails(page.String())
}

// describeHold describes what the guard holds, with the commands to decide.
func (s *orgSync) describeHold(page *display.Page, h *messages.Hold) {
	page.Line("### Waits for a decision\n")
	if h.Provision != "" {
		page.Line("Provision %s: %d additions, %d updates and %d removals, of records and memberships, are held since %s:\n",
			h.Provision, h.Adds, h.Updates, h.Removals, instant(h.Opened))
	} else {
		page.Line("%d adds and %d removals for %d people are held since %s:\n", h.Adds+h.Adopts, h.Removals, h.People,
			instant(h.Opened))
	}
	for _, rule := range h.Rules {
		page.Line("- %s", rule)
	}
	if h.Changed != "" {
		page.Line("\nThis plan %s.", h.Changed)
	}
	page.Line("\nSee every line with %s. Then approve or reject exactly this plan, %s:",
		display.Starter("plan --held", s.Org), display.Code(h.Plan))
	for _, name := range []string{messages.ApprovePlan, messages.RejectPlan} {
		page.Command(display.Update(messages.OrgSyncID(s.Org), name,
			display.Input{{"plan", h.Plan}, {"by", messages.You}, {"note", ""}}))
	}
}

// describeNoticed lists findings.
func (s *orgSync) describeNoticed(page *display.Page) {
	if found := s.allNoticed(); len(found) > 0 {
		page.Line("### Noticed\n")
		for _, f := range found {
			page.Line("- %s", f)
		}
		if s.LastFull != nil && s.Reported > len(found) {
			page.Line("- and %d more kinds: %s", s.Reported-len(found),
				display.Starter("plan", s.Org).With("--run", s.LastFull.Run))
		}
		page.Line("")
	}
	if len(s.Noticed) > 0 {
		page.Line("### Changed manually after a grant\n")
		for _, n := range s.Noticed {
			page.Line("- %s", n)
		}
		page.Line("")
	}
}

// describeWatch describes the schedule and the policy.
func (s *orgSync) describeWatch(page *display.Page) {
	page.Line("### Watching\n")
	page.Line("- next full verification: %s", instant(s.NextFull))
	page.Line("- between them: %s, every %s", describeFeed(s.Feed), s.Settings.Feed)
	if !s.Rules.Next.IsZero() {
		page.Line("- next decision due by time: %s", instant(s.Rules.Next))
	}
	if s.Rules.Untold != "" {
		page.Line("- **notices not sent yet**, which are retried: %s", s.Rules.Untold)
	}
	page.Line("- policy: %s", display.Code(s.Policy))
	if s.Settings.DryRun {
		page.Line("- **dry run**: plans are recorded, nothing is written")
	}
}

func describeFeed(f messages.Feed) string {
	switch f.Mode {
	case "events":
		return "the event feed"
	case "counts":
		return "the member counts of groups (the organization has no event feed)"
	}
	return "not yet"
}
