package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
)

// show keeps the Web UI true: search attributes when the state changed, current details always.
func (s *orgSync) show(ctx workflow.Context) {
	s.State = s.state()
	workflow.SetCurrentDetails(ctx, s.details(ctx))
	if s.State == s.shown {
		return
	}
	s.shown = s.State
	if err := workflow.UpsertTypedSearchAttributes(ctx, messages.AttributeOrg.ValueSet(s.Org), messages.AttributeState.ValueSet(s.State)); err != nil {
		s.log.Warn("the state is not shown in the workflow list", "error", err)
	}
}

func (s *orgSync) state() string {
	switch {
	case s.Paused != nil:
		return messages.StatePaused
	case s.Problem != nil || s.Feed.Problem != "":
		return messages.StateProblem
	case s.Hold != nil:
		return messages.StateHeld
	case s.Policy == "":
		return messages.StateStarting
	case s.front != nil, s.lending != nil, s.Running != nil && s.Running.State != messages.RunReading:
		return messages.StateApplying
	case s.Running != nil:
		return messages.StateVerifying
	}
	return messages.StateOK
}

// details is the page that ops see in the Web UI, in Markdown: at most 20,000 bytes.
func (s *orgSync) details(ctx workflow.Context) string {
	var b strings.Builder
	id := workflow.GetInfo(ctx).WorkflowExecution.ID
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	command := func(kind, name, input string) {
		// In lines of its own: the Web UI's panel is narrow.
		line("\n    temporal workflow %s \\\n      --workflow-id %s \\\n      --name %s \\\n      --input '%s'\n", kind, id, name, input)
	}
	line("## %s is %s\n", s.Org, s.State)
	switch {
	case s.Problem != nil:
		line("**%s** since %s, tried %d times.\n\n> %s\n", s.Problem.Kind, instant(s.Problem.Since), s.Problem.Tries, oneLine(s.Problem.Message))
		if !s.Problem.Retry.IsZero() {
			line("Next attempt at %s.\n", instant(s.Problem.Retry))
		}
	case s.Feed.Problem != "":
		line("**The event feed cannot be watched:** %s\n", oneLine(s.Feed.Problem))
	}
	if s.Paused != nil {
		line("**Paused by %s**: %s", s.Paused.By, s.Paused.Reason)
		command("update execute", messages.Resume, `{"by":"you@example.com"}`)
	}
	if h := s.Hold; h != nil {
		line("### Waits for a decision\n")
		line("%d adds and %d removals for %d people are held since %s:\n", h.Adds+h.Adopts, h.Removals, h.People, instant(h.Opened))
		for _, rule := range h.Rules {
			line("- %s", oneLine(rule))
		}
		if h.Changed != "" {
			line("\nThis plan %s.", h.Changed)
		}
		line("\nSee every line with `starter plan --held %s`. Then approve or reject exactly this plan, `%s`:", s.Org, h.Plan)
		command("update execute", messages.ApprovePlan, fmt.Sprintf(`{"plan":"%s","by":"you@example.com","note":""}`, h.Plan))
		command("update execute", messages.RejectPlan, fmt.Sprintf(`{"plan":"%s","by":"you@example.com","note":""}`, h.Plan))
	}
	if r := s.Running; r != nil {
		line("### Running\n\nRun `%s` (%s): %s since %s, see workflow `%s`.\n", r.Run, r.Trigger, r.State, instant(r.Started),
			runID(messages.ReconcileInput{Org: s.Org, Run: r.Run, Scope: messages.Scope{Kind: r.Scope}}))
	}
	if n := len(s.Pending.Grants); n > 0 || s.lending != nil {
		line("### Grants\n\n%d people wait to be put right by a run of grants; it goes ahead of all else, also while paused.\n", n)
	}
	if s.LastRun != nil {
		line("### Last run\n\n%s\n", runInWords(*s.LastRun))
	}
	if s.LastFull != nil && (s.LastRun == nil || s.LastFull.Run != s.LastRun.Run) {
		line("### Last full verification\n\n%s\n", runInWords(*s.LastFull))
	}
	if len(s.Findings) > 0 {
		line("### Noticed\n")
		for _, f := range s.Findings {
			line("- %s", oneLine(f))
		}
		if s.LastFull != nil && s.LastFull.Reported > len(s.Findings) {
			line("- and %d more kinds: `starter plan --run %s %s`", s.LastFull.Reported-len(s.Findings), s.LastFull.Run, s.Org)
		}
		line("")
	}
	if len(s.Noticed) > 0 {
		line("### Given by hand after a grant\n")
		for _, n := range s.Noticed {
			line("- %s", oneLine(n))
		}
		line("")
	}
	if len(s.Refused) > 0 {
		line("### Signals that were not accepted\n")
		for _, r := range s.Refused {
			line("- %s %s: %s", instant(r.At), r.Name, oneLine(r.Why))
		}
		line("")
	}
	line("### Watching\n")
	line("- next full verification: %s", instant(s.NextFull))
	line("- between them: %s, every %s", feedInWords(s.Feed), s.Settings.Feed)
	if s.Settings.Clocked && !s.Rules.Next.IsZero() {
		line("- a rule's time: %s", instant(s.Rules.Next))
	}
	if s.Rules.Untold != "" {
		line("- **not told yet**, and tried again: %s", oneLine(s.Rules.Untold))
	}
	line("- policy: `%s`", s.Policy)
	if s.Settings.DryRun {
		line("- **dry run**: plans are recorded, nothing is written")
	}
	return clipDetails(b.String())
}

// mostDetails is below the server's bound of 20,000 bytes.
const mostDetails = 19_000

func clipDetails(s string) string {
	if len(s) <= mostDetails {
		return s
	}
	return strings.ToValidUTF8(s[:mostDetails], "") + "\n\n… cut; the status query has all of it"
}

func feedInWords(f messages.Feed) string {
	switch f.Mode {
	case "events":
		return "the event feed"
	case "counts":
		return "the member counts of groups (the organization has no event feed)"
	}
	return "not yet"
}

func instant(t time.Time) string {
	if t.IsZero() {
		return "not set"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// inWords is a run in one sentence.
func inWords(r messages.RunSummary) string {
	c := r.Counts
	words := fmt.Sprintf("%d people read; %d changes made, %d found already so", c.People, c.Done, c.Already)
	for _, part := range []struct {
		n    int
		what string
	}{
		{c.Held, "held"}, {c.Shortage, "short of licences"}, {c.Refused, "refused"}, {c.Superseded, "no longer needed"},
		{c.Failed, "not done"}, {c.Suppressed, "rejected earlier"}, {c.Foreign, "foreign memberships"}, {c.Unverified, "not seen when read back"},
	} {
		if part.n > 0 {
			words += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	if r.DryRun {
		words = fmt.Sprintf("dry run: %d adds and %d removals would be made", c.Adds, c.Removals)
	}
	return words
}

func runInWords(r messages.RunSummary) string {
	words := fmt.Sprintf("`%s` (%s, %s): %s. %s", r.Run, r.Scope, r.Trigger, r.State, inWords(r))
	if !r.Ended.IsZero() {
		words += fmt.Sprintf(", in %s with %d calls", r.Ended.Sub(r.Started).Round(time.Millisecond), r.Counts.Calls)
	}
	if r.Problem != nil {
		words += ". Stopped by " + r.Problem.Kind
	}
	return words
}
