package activities

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
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// Bounds of the watch.
const (
	eventPage     = 500              // the most events of one call
	watchFor      = 30 * time.Minute // a quiet watch returns then, so that its cursor is kept in the workflow
	watchBeat     = 5 * time.Second
	countsAtLeast = time.Minute // between two looks at the group counts
	mostTouched   = 1000        // people in one answer
	fromPrefix    = "from:"     // a cursor that is an instant: epoch milliseconds
	ownWrite      = time.Minute // an event so soon after a write of our own is its echo
)

// WatchInput asks for what happens in an organization from a cursor on.
type WatchInput struct {
	Org    string            `json:"org"`
	Policy string            `json:"policy"`
	Mode   string            `json:"mode,omitempty"`
	Cursor string            `json:"cursor,omitempty"` // empty: from now on
	Every  messages.Duration `json:"every"`
	Once   bool              `json:"once,omitempty"` // return after the first poll: used to see whether a problem is over
}

// WatchResult says where to look.
type WatchResult struct {
	Mode    string   `json:"mode"`
	Cursor  string   `json:"cursor"`
	People  []string `json:"people,omitempty"`  // account ids
	Groups  []string `json:"groups,omitempty"`  // ids of groups whose members have to be looked at
	Recount []string `json:"recount,omitempty"` // ids of groups that people were touched in
	Later   []string `json:"later,omitempty"`   // those of them whom a read may show as we left them: look once more after a while
	Fresh   bool     `json:"fresh,omitempty"`   // groups came, went or changed their role
	Full    string   `json:"full,omitempty"`    // why everybody has to be looked at
}

func (r WatchResult) touched() bool {
	return len(r.People)+len(r.Groups)+len(r.Recount) > 0 || r.Fresh || r.Full != ""
}

// Watch polls the organization's event feed and returns when something happened that may matter, or after half an hour.
// Events only say where to look; what they claim is never believed. Where the organization has no feed (it needs Guard),
// the member counts of its groups are compared instead. It heartbeats its cursor and resumes there.
func (a *Activities) Watch(ctx context.Context, in WatchInput) (WatchResult, error) {
	s, err := a.open(ctx, in.Org, in.Policy)
	if err != nil {
		return WatchResult{}, err
	}
	var cursor string
	if activity.HasHeartbeatDetails(ctx) && activity.GetHeartbeatDetails(ctx, &cursor) == nil && cursor != "" {
		in.Cursor = cursor
	}
	if in.Cursor == "" {
		in.Cursor = fromPrefix + strconv.FormatInt(s.now().UnixMilli(), 10)
	}
	result, err := s.watchEvents(ctx, in)
	if errors.Is(err, organization.ErrForbidden) || errors.Is(err, organization.ErrNotFound) {
		return s.watchCounts(ctx, in)
	}
	if ctx.Err() != nil {
		return result, nil // asked to stop: the cursor is the answer
	}
	return result, explain("poll the event feed of organization "+in.Org, err)
}

func (s *session) watchEvents(ctx context.Context, in WatchInput) (WatchResult, error) {
	result := WatchResult{Mode: "events", Cursor: in.Cursor}
	b, groups, err := s.watched(ctx)
	if err != nil {
		return result, err
	}
	end := s.now().Add(watchFor)
	for first := true; s.now().Before(end); first = false {
		if !first && !wait(ctx, in.Every.Std(), result.Cursor) {
			return result, nil
		}
		for {
			page, err := s.api.Events(ctx, eventQuery(result.Cursor))
			if err != nil {
				return result, err
			}
			for _, e := range page.Events {
				if err := s.look(ctx, &result, b, groups, e); err != nil {
					return result, err
				}
			}
			if page.Next != "" {
				result.Cursor = page.Next
			}
			activity.RecordHeartbeat(ctx, result.Cursor)
			if len(page.Events) < eventPage || page.Next == "" || len(result.People) >= mostTouched {
				break
			}
		}
		if result.touched() || in.Once {
			return result, nil
		}
	}
	return result, nil
}

func eventQuery(cursor string) organization.EventQuery {
	if from, ok := strings.CutPrefix(cursor, fromPrefix); ok {
		ms, _ := strconv.ParseInt(from, 10, 64)
		return organization.EventQuery{From: time.UnixMilli(ms), Limit: eventPage}
	}
	return organization.EventQuery{Cursor: cursor}
}

// watched is what the last outline knows: the bound policy and all groups by id. Both are nil before the first outline.
func (s *session) watched(ctx context.Context) (*policy.Bound, map[string]access.Group, error) {
	o, ok, err := s.latestOutline(ctx)
	if err != nil || !ok {
		return nil, nil, err
	}
	groups := make(map[string]access.Group, len(o.Groups))
	for _, g := range o.Groups {
		groups[g.ID] = g
	}
	b, _ := policy.BindSince(s.policy, o.Outline, o.Last)
	return b, groups, nil
}

// look notes what an event points at, unless it is about nothing that the policy touches or an echo of our own write.
func (s *session) look(ctx context.Context, r *WatchResult, b *policy.Bound, known map[string]access.Group, e organization.Event) error {
	if !relevant(e.Action) {
		return nil
	}
	var people, groups []string
	for _, c := range e.Context {
		switch strings.ToLower(c.Type) {
		case "users", "user":
			people = append(people, accountID(c.ID))
		case "groups", "group":
			groups = append(groups, groupID(c.ID))
		}
	}
	touchesPolicy := len(groups) == 0
	for _, g := range groups {
		if _, seen := known[g]; !seen && known != nil {
			r.Fresh, touchesPolicy = true, true
		}
		if b == nil || b.Source(g) || targetGroup(b, g) {
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

// touch notes a person whom an event names, unless it tells of a write of our own. One that tells of the opposite does not:
// somebody gave by hand what we have just taken. Since our own writes are believed over reads for a while, such a person is
// looked at once more after that.
func (s *session) touch(ctx context.Context, r *WatchResult, e organization.Event, person, group string) (bool, error) {
	var wrote access.Action
	if !e.Time.IsZero() {
		var err error
		if wrote, err = s.ledger.WroteSince(ctx, s.org, person, group, e.Time.Add(-ownWrite)); err != nil {
			return false, err
		}
	}
	if wrote != "" {
		opposite := []string{"remov", "revok", "suspend", "delet"}
		if wrote == access.Remove {
			opposite = []string{"add", "grant", "assign", "restor", "invit"}
		}
		action := strings.ToLower(e.Action)
		if !slices.ContainsFunc(opposite, func(word string) bool { return strings.Contains(action, word) }) {
			return false, nil
		}
		r.Later = add(r.Later, []string{person})
	}
	r.People = add(r.People, []string{person})
	return true, nil
}

// relevant tells events about who may what from the many others. The vendor publishes no list of action names, so words
// in them decide; a wrong guess costs a read, or waits for the next full verification.
func relevant(action string) bool {
	action = strings.ToLower(action)
	for _, word := range []string{"login", "logout", "logged", "viewed", "token", "password", "twosv"} {
		if strings.Contains(action, word) {
			return false
		}
	}
	for _, word := range []string{"group", "member", "role", "access", "admin", "invite", "user_", "account", "directory", "suspend", "restor", "deactivat", "provision"} {
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

func targetGroup(b *policy.Bound, id string) bool {
	return slices.ContainsFunc(b.Targets, func(t policy.Target) bool { return t.GroupID == id })
}

func accountID(id string) string { return id[strings.LastIndex(id, "/")+1:] }
func groupID(id string) string   { return id[strings.LastIndex(id, "/")+1:] }

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

// watchCounts stands in for the event feed: a group whose count moved is looked at.
func (s *session) watchCounts(ctx context.Context, in WatchInput) (WatchResult, error) {
	result := WatchResult{Mode: "counts", Cursor: in.Cursor}
	b, before, err := s.watched(ctx)
	if err != nil {
		return result, err
	}
	every := max(in.Every.Std(), countsAtLeast)
	end := s.now().Add(watchFor)
	for first := true; first || s.now().Before(end); first = false {
		if !first && !wait(ctx, every, "") {
			return result, nil
		}
		now, err := s.readGroups(ctx, organization.GroupQuery{Limit: pageSize, Expand: []string{"counts.users"}})
		if err != nil {
			if ctx.Err() != nil {
				return result, nil
			}
			return result, err
		}
		if b == nil {
			if b, before, err = s.watched(ctx); err != nil || b == nil {
				continue
			}
		}
		counted := map[string]access.Group{}
		for _, g := range now {
			counted[g.ID] = g
			was, known := before[g.ID]
			if !known || was.Synced != g.Synced {
				result.Fresh, result.Groups = true, add(result.Groups, []string{g.ID})
			} else if was.Users != g.Users && (b.Source(g.ID) || targetGroup(b, g.ID)) {
				result.Groups = add(result.Groups, []string{g.ID})
			}
		}
		for id := range before {
			if _, still := counted[id]; !still {
				result.Full = fmt.Sprintf("group %s is gone", before[id].Name)
			}
		}
		before = counted
		if result.touched() || in.Once {
			return result, nil
		}
	}
	return result, nil
}

// wait sleeps in heartbeats; false when the activity should end.
func wait(ctx context.Context, d time.Duration, cursor string) bool {
	tick := time.NewTicker(watchBeat)
	defer tick.Stop()
	over := time.NewTimer(d)
	defer over.Stop()
	for {
		select {
		case <-over.C:
			return true
		case <-tick.C:
			activity.RecordHeartbeat(ctx, cursor)
		case <-ctx.Done():
			return false
		}
	}
}
