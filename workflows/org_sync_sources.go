package workflows

import (
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/sources"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/workflows/internal/act"
	"github.com/castellan-io/castellan/workflows/internal/kit"
)

// watchSources keeps the replica of each identity source of the policy up to date, with one long activity at a time for
// each, whose results tell whom to reconcile.
func (s *orgSync) watchSources(ctx workflow.Context) {
	for _, one := range s.Settings.Sources {
		if s.sourceWatches[one.Name] == nil && s.mayWatchSources() {
			s.watchSource(ctx, one.Name)
		}
	}
}

// mayWatchSources reports whether sources are read now. While paused they are not, since nothing would follow.
func (s *orgSync) mayWatchSources() bool {
	return s.Policy != "" && s.Paused == nil && !s.retired() && !s.ending
}

// sourceSetting returns what the policy in force says of a source; nil if it has none of this name.
func (s *orgSync) sourceSetting(name string) *messages.SourceSetting {
	for i := range s.Settings.Sources {
		if s.Settings.Sources[i].Name == name {
			return &s.Settings.Sources[i]
		}
	}
	return nil
}

func (s *orgSync) watchSource(ctx workflow.Context, name string) {
	watching, stop := workflow.WithCancel(ctx)
	s.sourceWatches[name] = stop
	workflow.GoNamed(watching, "watch source "+name, func(ctx workflow.Context) {
		defer func() {
			delete(s.sourceWatches, name)
			s.wake = true
		}()
		for tries := 0; ctx.Err() == nil && s.mayWatchSources(); {
			if s.sourceSetting(name) == nil {
				return
			}
			in := sources.WatchInput{Org: s.Org, Policy: s.Policy, Source: name,
				Once: s.sourceStatus(name) == nil || s.readNow[name] || tries > 0} // what was wrong may be over
			if known := s.sourceStatus(name); known != nil {
				in.After = known.Change
			}
			result, err := act.WatchSource(ctx, in)
			if ctx.Err() != nil {
				return // whoever waits for a read still does
			}
			delete(s.readNow, name)
			if err == nil {
				tries = 0
				s.recordSource(result)
				continue
			}
			tries++
			s.recordSource(sources.WatchResult{Source: messages.SourceStatus{Name: name, Problem: kit.MessageOf(err),
				Failing: workflow.Now(ctx)}})
			kit.AwaitUntil(ctx, workflow.Now(ctx).Add(loopBackoff.After(tries)), "read source "+name+" again after a problem",
				func() bool { return !s.mayWatchSources() })
		}
	})
}

// read has a source read at once.
func (s *orgSync) read(name string) {
	s.readNow[name] = true
	if stop := s.sourceWatches[name]; stop != nil {
		stop()
	}
	s.wake = true
}

// readFailing has the sources read at once that could not be read: each waits longer after every failure.
func (s *orgSync) readFailing(ctx workflow.Context) {
	if workflow.GetVersion(ctx, "sync-now-reads-failing-sources", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return
	}
	for _, one := range s.Sources {
		if one.Problem != "" && !one.Posts {
			s.read(one.Name)
		}
	}
}

// restartSourceWatches ends the watches, so that they start again under the policy in force.
func (s *orgSync) restartSourceWatches() {
	for _, name := range workflow.DeterministicKeys(s.sourceWatches) {
		s.sourceWatches[name]()
	}
}

// sourceStatus returns what is known of a source; nil: nothing yet.
func (s *orgSync) sourceStatus(name string) *messages.SourceStatus {
	i := slices.IndexFunc(s.Sources, func(one messages.SourceStatus) bool { return one.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Sources[i]
}

// recordSource records what became of a source, and who is to be looked at for it.
func (s *orgSync) recordSource(r sources.WatchResult) {
	s.wake = true
	if known := s.sourceStatus(r.Source.Name); known != nil {
		if problem := r.Source; problem.Read.IsZero() && !problem.Posts { // that is all that is known
			r.Source = *known
			r.Source.Problem = problem.Problem
			if known.Failing.IsZero() {
				r.Source.Failing = problem.Failing
			}
		}
		r.Source.LacksOther = r.Source.Suspect != "" && known.Lacks != "" &&
			(known.LacksOther || known.Lacks != r.Source.Lacks)
		*known = r.Source
	} else {
		s.Sources = append(s.Sources, r.Source)
	}
	for _, name := range s.provisionsOf(r.Source.Name) {
		if r.Full != "" {
			s.dueProvision(name, r.Full)
		} else if len(r.Identities) > 0 {
			s.dueProvision(name, "source "+r.Source.Name+" changed", r.Identities...)
		}
	}
	if !s.Adopted {
		if r.Full != "" {
			s.requestFull(r.Full, "") // the first plan is to show what the source gives
		}
		return
	}
	s.touch(r.People)
	if r.Full != "" {
		s.requestFull(r.Full, "")
	}
}

// sourcesUnread reports whether a source was neither read yet nor found unreadable: a full verification waits for that,
// so that the first plan is whole.
func (s *orgSync) sourcesUnread() bool {
	return slices.ContainsFunc(s.Settings.Sources, func(one messages.SourceSetting) bool {
		return s.sourceStatus(one.Name) == nil
	})
}

// keepSources drops what is known of sources that the policy does not have any more.
func (s *orgSync) keepSources() {
	s.Sources = slices.DeleteFunc(s.Sources, func(one messages.SourceStatus) bool {
		return s.sourceSetting(one.Name) == nil
	})
}

// showSources updates the search attribute of the identity sources when the state of one changed. An organization
// without sources never has it.
func (s *orgSync) showSources(ctx workflow.Context) {
	var states []string
	for _, one := range s.Settings.Sources {
		state := messages.SourceNeverRead
		if known := s.sourceStatus(one.Name); known != nil {
			state = known.State()
		}
		states = append(states, messages.SourceKeyword(one.Name, state))
	}
	if slices.Equal(states, s.shownSources) {
		return
	}
	s.shownSources = states
	update := messages.AttributeSource.ValueSet(states)
	if len(states) == 0 {
		update = messages.AttributeSource.ValueUnset()
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, update); err != nil {
		s.log.Warn("the states of the sources are not shown in the workflow list", "error", err)
	}
}

// describeSources describes the identity sources: when each was last read completely, and what is wrong with it.
func (s *orgSync) describeSources(page *display.Page) {
	if len(s.Settings.Sources) == 0 {
		return
	}
	page.Line("### Identity sources\n")
	for _, one := range s.Settings.Sources {
		known := s.sourceStatus(one.Name)
		switch {
		case known == nil:
			page.Line("- %s: being read for the first time", one.Name)
			continue
		case known.Posts:
			describePosts(page, known)
		case known.Read.IsZero():
			page.Line("- %s: never read completely", one.Name)
		default:
			page.Line("- %s: %d people, %d groups with %d memberships, read completely at %s", one.Name, known.People,
				known.Groups, known.Memberships, instant(known.Read))
		}
		if known.Problem != "" {
			page.Line("  - **cannot be read** since %s; until it can, nobody counts as gone: %s", instant(known.Failing), known.Problem)
		}
		if known.Suspect != "" {
			page.Line("  - **its last read is suspect:** %s. Nothing that is missing counts as gone until you accept it:", known.Suspect)
			page.Command(display.Update(messages.OrgSyncID(s.Org), messages.AcceptSource,
				display.Input{{"source", one.Name}, {"lacks", known.Lacks}, {"by", messages.You}, {"note", ""}}))
		}
		if known.Missing > 0 {
			page.Line("  - %d missing from the last read; each is looked up again before it counts as gone", known.Missing)
		}
	}
	page.Line("")
}

// listenToSources registers the handlers of messages about identity sources, groups that follow them, and records.
func (s *orgSync) listenToSources(ctx workflow.Context, h *kit.MessageHandlers) error {
	return kit.FirstError(
		kit.Handle(ctx, h, messages.AcceptSource, "believe what a suspect read of an identity source lacks",
			s.checkAcceptSource, s.acceptSource),
		kit.Handle(ctx, h, messages.ProvisionNow, "look at the records of everybody, or of some people, now",
			s.checkProvisionNow, s.provisionNow),
		kit.Handle(ctx, h, messages.AcceptConflict,
			"have a group follow that of an identity source, as the difference shows", s.checkConflict, s.acceptConflict),
		kit.Handle(ctx, h, messages.RejectConflict,
			"leave a group that differs from that of an identity source as it is", s.checkConflict, s.rejectConflict),
	)
}

// describePosts describes a source that posts.
func describePosts(page *display.Page, known *messages.SourceStatus) {
	if known.Posted.IsZero() {
		page.Line("- %s: nothing was posted yet", known.Name)
	} else {
		page.Line("- %s: %d people, %d groups with %d memberships, last posted at %s", known.Name, known.People,
			known.Groups, known.Memberships, instant(known.Posted))
	}
	if known.Quiet {
		page.Line("  - **quiet:** nothing was posted for longer than the policy expects (sources.quiet). Nobody loses anything by that")
	}
	if known.Refused > 0 {
		page.Line("  - %d posts were refused, the last at %s: %s", known.Refused, instant(known.RefusedAt), known.RefusedFor)
	}
}

func (s *orgSync) checkAcceptSource(in messages.AcceptSourceInput) error {
	known := s.sourceStatus(in.Source)
	switch {
	case in.By == "":
		return kit.Refuse("by is missing: say who accepts it")
	case s.sourceSetting(in.Source) == nil:
		return kit.Refuse("the policy has no source %s", kit.Bounded(in.Source))
	case known == nil || known.Suspect == "":
		return kit.Refuse("source %s is not suspect: there is nothing to accept", in.Source)
	case in.Lacks == "" && known.LacksOther:
		return kit.Refuse("what is missing from source %s has changed since it became suspect: look at the status, then send \"lacks\": %q",
			in.Source, known.Lacks)
	}
	return nil
}

// acceptSource believes what a suspect read lacks, and nothing else. The source is read again at once, and what is
// missing then is taken for gone as always: after a second read and a look-up, and under the guard.
func (s *orgSync) acceptSource(ctx workflow.Context, in messages.AcceptSourceInput) (messages.Answer, error) {
	in.By, in.Note, in.Lacks = kit.Bounded(in.By), kit.Bounded(in.Note), kit.Bounded(in.Lacks)
	if err := s.decider(ctx, in.By, func() error { return s.checkAcceptSource(in) }); err != nil {
		return messages.Answer{}, err
	}
	if known := s.sourceStatus(in.Source); known != nil && in.Lacks == "" {
		in.Lacks = known.Lacks
	}
	if err := act.AcceptSource(ctx, sources.AcceptInput{Org: s.Org, AcceptSourceInput: in}); err != nil {
		return messages.Answer{}, err
	}
	if known := s.sourceStatus(in.Source); known != nil {
		known.Suspect = ""
	}
	s.read(in.Source)
	return messages.Answer{Message: "accepted: source " + in.Source + " is read again now; what is missing counts, and the guard judges the changes that follow"}, nil
}

func (s *orgSync) checkConflict(in messages.ConflictInput) error {
	switch {
	case in.By == "":
		return kit.Refuse("by is missing: say who decides")
	case !strings.HasPrefix(in.Conflict, "sha256:"):
		return kit.Refuse("conflict is missing: give the hash of the difference, sha256:…, as %s shows it",
			display.Starter("conflicts", s.Org))
	case s.Policy == "" || s.retired():
		return kit.Refuse("no policy is in force")
	}
	return nil
}

// acceptConflict has a group at Atlassian follow the source's group from now on, with everything that makes them equal
// now; rejectConflict leaves both as they are.
func (s *orgSync) acceptConflict(ctx workflow.Context, in messages.ConflictInput) (messages.Answer, error) {
	group, err := s.decideConflict(ctx, in, true)
	if err != nil {
		return messages.Answer{}, err
	}
	s.requestFull("the conflict about group "+group+" was accepted", in.By)
	return messages.Answer{Message: "accepted: group " + group + " follows its group in the source; a full verification starts now, and the guard judges what it changes"}, nil
}

func (s *orgSync) rejectConflict(ctx workflow.Context, in messages.ConflictInput) (messages.Answer, error) {
	group, err := s.decideConflict(ctx, in, false)
	if err != nil {
		return messages.Answer{}, err
	}
	return messages.Answer{Message: "rejected: group " + group + " stays as it is; from the next full verification on, the difference is not reported again unless it changes"}, nil
}

func (s *orgSync) decideConflict(ctx workflow.Context, in messages.ConflictInput, accept bool) (group string,
	err error) {
	in.By, in.Note, in.Conflict = kit.Bounded(in.By), kit.Bounded(in.Note), kit.Bounded(in.Conflict)
	if err := s.decider(ctx, in.By, func() error { return s.checkConflict(in) }); err != nil {
		return "", err
	}
	return act.DecideConflict(ctx, sources.DecideConflictInput{Org: s.Org, Accept: accept, ConflictInput: in})
}
