package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// The limits of the watch.
const (
	eventPage     = 500              // the most events of one call
	watchFor      = 30 * time.Minute // a watch without events returns after this, so that the workflow keeps its cursor
	watchBeat     = 4 * time.Second  // between heartbeats, as long as this process watches few organizations
	fewWatches    = 100              // how many are few; with more, heartbeats are proportionally rarer
	countsAtLeast = time.Minute      // between two reads of the group counts
	// between two reads of the list of groups, beside the feed, and of the people whom the policy names
	groupsAtLeast = 10 * time.Minute
	mostTouched   = 1000        // people in one result
	fromPrefix    = "from:"     // prefix of a cursor that is an instant: epoch milliseconds
	ownWrite      = time.Minute // an event so soon after a write of our own is its echo
)

// WatchInput asks for what happens in an organization after a cursor.
type WatchInput struct {
	Org    string            `json:"org"`
	Policy string            `json:"policy"`
	Mode   string            `json:"mode,omitempty"`
	Cursor string            `json:"cursor,omitempty"` // empty: from now on
	Every  messages.Duration `json:"every"`
	// return after the first poll, to see whether a problem is over
	Once bool `json:"once,omitempty"`
}

// WatchResult is where to look.
type WatchResult struct {
	Mode    string   `json:"mode"`
	Cursor  string   `json:"cursor"`
	People  []string `json:"people,omitempty"`  // account ids
	Groups  []string `json:"groups,omitempty"`  // IDs of groups whose members have to be looked at
	Recount []string `json:"recount,omitempty"` // IDs of groups in which people changed
	// those of the people whom a read may show as we left them: look again after a while
	Later []string `json:"later,omitempty"`
	Fresh bool     `json:"fresh,omitempty"` // groups were created, deleted, or changed their role
	Full  string   `json:"full,omitempty"`  // why everybody has to be looked at
}

func (r WatchResult) touched() bool {
	return len(r.People)+len(r.Groups)+len(r.Recount) > 0 || r.Fresh || r.Full != ""
}

// Watch polls the organization's event feed and returns when something happened that may matter, or after half an hour.
// Events only say where to look; their content is never trusted. If the organization has no feed (it needs Guard), the
// member counts of its groups are compared instead. It heartbeats its cursor and resumes there.
func (a *Activities) Watch(ctx context.Context, in WatchInput) (WatchResult, error) {
	var cursor string
	if activity.HasHeartbeatDetails(ctx) && activity.GetHeartbeatDetails(ctx, &cursor) == nil && cursor != "" {
		in.Cursor = cursor
	}
	opened := session.AutoHeartbeat(ctx, in.Cursor)
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if opened(); err != nil {
		return WatchResult{}, err
	}
	if in.Cursor == "" {
		in.Cursor = fromPrefix + strconv.FormatInt(s.Now().UnixMilli(), 10)
	}
	a.watching.Add(1)
	defer a.watching.Add(-1)
	ctx, _, done := session.UntilStopping(ctx) // another worker continues the watch at once
	defer done()
	result, err := s.watchEvents(ctx, in)
	if errors.Is(err, organization.ErrForbidden) || errors.Is(err, organization.ErrNotFound) {
		return s.watchCounts(ctx, in)
	}
	if ctx.Err() != nil {
		return result, nil // told to stop, as the activity or as the worker: the cursor is the result
	}
	return result, session.WrapAPIError("poll the event feed of organization "+in.Org, err)
}

func (s *task) watchEvents(ctx context.Context, in WatchInput) (WatchResult, error) {
	result := WatchResult{Mode: "events", Cursor: in.Cursor}
	b, groups, err := s.Watched(ctx)
	if err != nil {
		return result, err
	}
	alive := &watchHeartbeats{session: s}
	answered := in.Cursor // nothing was found up to here: another attempt need not read it again
	end := s.Now().Add(watchFor)
	for first := true; s.Now().Before(end); first = false {
		pause := in.Every.Std()
		if first {
			pause = s.pollDue(in)
		}
		if pause > 0 && !alive.wait(ctx, pause, result.Cursor) {
			return result, nil
		}
		told := false
		for range session.BoundEvents {
			page, err := s.API.Events(ctx, eventQuery(result.Cursor))
			if err != nil {
				return result, err
			}
			ahead := clockAhead(page.Answered, s.Now())
			for _, e := range page.Events {
				if !e.Time.IsZero() {
					e.Time = e.Time.Add(-ahead)
				}
				if err := s.look(ctx, &result, b, groups, e); err != nil {
					return result, err
				}
			}
			if page.Next != "" {
				result.Cursor = page.Next
			}
			if !result.touched() {
				answered = result.Cursor
			}
			alive.show(ctx, answered, len(page.Events) > 0)
			if told = len(page.Events) < eventPage || page.Next == ""; told || len(result.People) >= mostTouched {
				break
			}
		}
		s.notePoll(in, told)
		if b != nil && s.groupsDue() {
			if err := s.compareGroups(ctx, &result, b, groups); err != nil {
				return result, err
			}
			if err := s.compareNames(ctx, &result); err != nil {
				return result, err
			}
		}
		if result.touched() || in.Once {
			return result, nil
		}
	}
	return result, nil
}

// pollDue returns how long the first poll of a watch waits. A watch that found something is followed by another at
// once: as long as something happens all the time, as when thousands of people are provisioned, they would never pause.
func (a *Activities) pollDue(in WatchInput) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	last, polled := a.polled[in.Org]
	if in.Once || !polled {
		return 0
	}
	return time.Until(last.Add(in.Every.Std()))
}

// notePoll notes that the feed was asked now, unless it has more to tell.
func (a *Activities) notePoll(in WatchInput, told bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if delete(a.polled, in.Org); told && !in.Once {
		a.polled[in.Org] = time.Now()
	}
}

// groupsDue reports whether to compare the list of groups now. It is first due some minutes after this process began to
// watch the organization, however often the watch was restarted since.
func (s *task) groupsDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, watched := s.compared[s.Org]
	if due := watched && s.Now().Sub(last) >= groupsAtLeast; watched && !due {
		return false
	}
	s.compared[s.Org] = s.Now()
	return watched
}

// compareGroups looks at groups that were created, deleted or renamed since they were last read. The feed should report
// these, but that is not documented.
//
// Calls: groups/100.
func (s *task) compareGroups(ctx context.Context, r *WatchResult, b *policy.Bound,
	before map[string]access.Group) error {
	now, err := s.ReadGroups(ctx, organization.GroupQuery{Limit: session.PageSize})
	if err != nil {
		return err
	}
	shown := map[string]bool{}
	for _, g := range now {
		shown[g.ID] = true
		was, known := before[g.ID]
		if known && was.Name == g.Name && was.Synced == g.Synced {
			continue
		}
		if b.Watches(g.ID) || !known {
			r.Fresh, r.Groups = true, add(r.Groups, []string{g.ID})
		}
	}
	for id := range before {
		if !shown[id] && b.Watches(id) {
			r.Fresh, r.Groups = true, add(r.Groups, []string{id})
		}
	}
	return nil
}

// compareNames looks at the people whom the policy names. A new address is no event.
//
// Calls: one for a hundred of them.
func (s *task) compareNames(ctx context.Context, r *WatchResult) error {
	renamed, moved, err := s.FollowNames(ctx)
	r.People, r.Fresh = add(r.People, renamed), r.Fresh || moved
	return err
}

// clockAhead returns how far Atlassian's clock is ahead of ours, by a response's Date header. Events are compared with
// the ledger's times of writes, so both need one clock. A difference within the precision of the header counts as zero.
func clockAhead(answered, now time.Time) time.Duration {
	ahead := answered.Sub(now)
	if answered.IsZero() || ahead.Abs() < 2*time.Second {
		return 0
	}
	return ahead
}

func eventQuery(cursor string) organization.EventQuery {
	if from, ok := strings.CutPrefix(cursor, fromPrefix); ok {
		ms, _ := strconv.ParseInt(from, 10, 64)
		return organization.EventQuery{From: time.UnixMilli(ms), Limit: eventPage}
	}
	return organization.EventQuery{Cursor: cursor}
}

// look records what an event points at, unless it is about nothing that the policy touches or an echo of our own write.
func (s *task) look(ctx context.Context, r *WatchResult, b *policy.Bound, known map[string]access.Group,
	e organization.Event) error {
	if !relevant(e.Action) {
		return nil
	}
	var people, groups, roles []string
	for _, c := range e.Context {
		switch strings.ToLower(c.Type) {
		case "users", "user":
			people = append(people, accountID(c.ID))
		case "groups", "group":
			groups = append(groups, groupID(c.ID))
		case "roles", "role":
			roles = append(roles, c.ID)
		}
	}
	if err := s.noteRemovals(ctx, e, people, groups, roles); err != nil {
		return err
	}
	touchesPolicy := len(groups) == 0
	for _, g := range groups {
		if _, seen := known[g]; !seen && known != nil {
			r.Fresh, touchesPolicy = true, true
		}
		if b == nil || b.Watches(g) {
			touchesPolicy = true
		}
	}
	switch {
	case !touchesPolicy && !changesRoles(e.Action):
		return nil
	case len(people) > 0 && len(groups) == 0:
		for _, p := range people {
			if _, err := s.touch(ctx, r, e, p, ""); err != nil {
				return err
			}
		}
	case len(people) > 0:
		for _, p := range people {
			for _, g := range groups {
				touched, err := s.touch(ctx, r, e, p, g)
				if err != nil {
					return err
				}
				if touched {
					r.Recount = add(r.Recount, []string{g})
				}
			}
		}
	case changesRoles(e.Action):
		r.Full = "the roles of a group changed (" + e.Action + ")"
	case len(groups) > 0:
		r.Groups = add(r.Groups, groups)
		r.Fresh = true
	}
	return nil
}

// noteRemovals records that, according to an event, somebody else removed access from people: if the directory shows it
// later it was given since, and not by Castellan. The vendor publishes no list of action names, so words in them
// decide. A wrong guess removes nothing from anybody.
func (s *task) noteRemovals(ctx context.Context, e organization.Event, people, groups, roles []string) error {
	if len(people) == 0 || e.Time.IsZero() || !says(e.Action, "remov", "revok", "delet") {
		return nil
	}
	var taken []string
	switch {
	case len(groups) > 0:
		if says(e.Action, "role", "admin", "owner", "group_delet", "group_remov") {
			return nil
		}
		taken = groups
	case len(roles) > 0:
		if !slices.Contains(roles, access.RoleOrgAdmin) || len(e.Container) > 0 {
			return nil
		}
		taken = []string{string(access.OrgAdmin)}
	case says(e.Action, "role", "admin", "access", "group", "domain", "policy", "email", "avatar", "token",
		"device", "key"),
		// a phone or a second factor may be removed, too
		!says(e.Action, "directory", "org", "user_delet", "account_delet"):
		return nil
	default:
		taken = []string{ledger.LeftOrganization}
	}
	for _, person := range people {
		for _, what := range taken {
			group := what
			if len(groups) == 0 {
				group = ""
			}
			wrote, err := s.Ledger.WroteSince(ctx, s.Org, person, group, e.Time.Add(-ownWrite))
			if err != nil {
				return err
			}
			if wrote == access.Remove { // our own
				continue
			}
			said := access.OutOfBandRemoval{At: e.Time, Action: display.Shorten(e.Action, 100)}
			if err := s.Ledger.NoteRemoval(ctx, s.Org,
				ledger.Removal{Person: person, What: what, OutOfBandRemoval: said}); err != nil {
				return err
			}
		}
	}
	return nil
}

// says reports whether an action's name contains one of some words.
func says(action string, words ...string) bool {
	action = strings.ToLower(action)
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(action, word) })
}

// touch records a person of an event, unless the event is about a write of our own. An event about the opposite is not:
// somebody gave by hand what we have just removed. Since our own writes count more than reads for a while, such a
// person is looked at again after that.
func (s *task) touch(ctx context.Context, r *WatchResult, e organization.Event, person, group string) (bool, error) {
	var wrote access.Action
	if !e.Time.IsZero() {
		var err error
		if wrote, err = s.Ledger.WroteSince(ctx, s.Org, person, group, e.Time.Add(-ownWrite)); err != nil {
			return false, err
		}
	}
	if wrote != "" {
		opposite := []string{"remov", "revok", "suspend", "delet"}
		if wrote == access.Remove {
			opposite = []string{"add", "grant", "assign", "restor", "invit"}
		}
		if !says(e.Action, opposite...) {
			return false, nil
		}
		r.Later = add(r.Later, []string{person})
	}
	r.People = add(r.People, []string{person})
	return true, nil
}

// relevant reports whether an event is about who may do what, unlike most. The vendor publishes no list of action
// names, so words in them decide; a wrong guess costs a read, or waits for the next full verification.
func relevant(action string) bool {
	action = strings.ToLower(action)
	for _, word := range []string{"login", "logout", "logged", "viewed", "token", "password", "twosv"} {
		if strings.Contains(action, word) {
			return false
		}
	}
	for _, word := range []string{"group", "member", "role", "access", "admin", "invite", "user_", "account",
		"directory", "suspend", "restor", "deactivat", "provision"} {
		if strings.Contains(action, word) {
			return true
		}
	}
	return false
}

func changesRoles(action string) bool {
	action = strings.ToLower(action)
	return strings.Contains(action, "role") || strings.Contains(action, "default") || strings.Contains(action, "access")
}

func accountID(id string) string { return id[strings.LastIndex(id, "/")+1:] }

func groupID(id string) string { return id[strings.LastIndex(id, "/")+1:] }

func add(all, more []string) []string {
	for _, m := range more {
		found := false
		for _, s := range all {
			found = found || s == m
		}
		if !found {
			all = append(all, m)
		}
	}
	return all
}

// watchCounts replaces the event feed: a group whose count changed is looked at.
func (s *task) watchCounts(ctx context.Context, in WatchInput) (WatchResult, error) {
	result := WatchResult{Mode: "counts", Cursor: in.Cursor}
	b, before, err := s.Watched(ctx)
	if err != nil {
		return result, err
	}
	every := max(in.Every.Std(), countsAtLeast)
	alive := &watchHeartbeats{session: s}
	end := s.Now().Add(watchFor)
	for first := true; first || s.Now().Before(end); first = false {
		if !first && !alive.wait(ctx, every, "") {
			return result, nil
		}
		now, err := s.ReadGroups(ctx, organization.GroupQuery{Limit: session.PageSize,
			Expand: []string{"counts.users"}})
		if err != nil {
			if ctx.Err() != nil {
				return result, nil
			}
			return result, err
		}
		if b == nil {
			if b, before, err = s.Watched(ctx); err != nil || b == nil {
				if in.Once {
					return result, err
				}
				continue
			}
		}
		counted := map[string]access.Group{}
		for _, g := range now {
			counted[g.ID] = g
			was, known := before[g.ID]
			if !known || was.Synced != g.Synced || was.Name != g.Name {
				result.Fresh, result.Groups = true, add(result.Groups, []string{g.ID})
			} else if was.Users != g.Users && b.Watches(g.ID) {
				result.Groups = add(result.Groups, []string{g.ID})
			}
		}
		for id := range before {
			if _, still := counted[id]; !still {
				result.Full = fmt.Sprintf("group %s is gone", before[id].Name)
			}
		}
		before = counted
		if s.groupsDue() {
			if err := s.compareNames(ctx, &result); err != nil {
				return result, err
			}
		}
		if result.touched() || in.Once {
			return result, nil
		}
	}
	return result, nil
}

// watchHeartbeats are the heartbeats of a watch. They are most of what watching costs: so with many organizations they
// are as rare as the workflow permits. That events were read is reported at once.
type watchHeartbeats struct {
	session *task
	last    time.Time
}

// every returns the interval between heartbeats.
func (g *watchHeartbeats) every(ctx context.Context) time.Duration {
	beat := watchBeat * time.Duration(max(g.session.watching.Load(), fewWatches)) / fewWatches
	if bears := activity.GetInfo(ctx).HeartbeatTimeout; bears > 0 {
		beat = min(beat, bears/3)
	}
	return max(beat, watchBeat/4)
}

// show shows that the watch lives, and its cursor, at once or if that is due.
func (g *watchHeartbeats) show(ctx context.Context, cursor string, atOnce bool) {
	if now := time.Now(); atOnce || now.Sub(g.last) >= g.every(ctx) {
		activity.RecordHeartbeat(ctx, cursor)
		g.last = now
	}
}

// wait sleeps in heartbeats; false when the activity should end.
func (g *watchHeartbeats) wait(ctx context.Context, d time.Duration, cursor string) bool {
	over := time.NewTimer(d)
	defer over.Stop()
	for {
		due := time.NewTimer(max(g.every(ctx)-time.Since(g.last), 0))
		select {
		case <-over.C:
			due.Stop()
			return true
		case <-due.C:
			g.show(ctx, cursor, false)
		case <-ctx.Done():
			due.Stop()
			return false
		}
	}
}
