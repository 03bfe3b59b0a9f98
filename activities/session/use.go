package session

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/condition"
)

const (
	UseKept  = 20 * time.Hour // how long the scarce call's result is used; Atlassian itself is up to a day behind
	mostUses = 150            // scarce calls of one activity; people beyond it stay unknown until the next
)

// countedApps are the services whose use Atlassian reports (the vendor's list of keys): only for these does a missing
// entry mean that somebody never used them.
var countedApps = []string{"jira-software", "jira-servicedesk", "jira-core", "jira-ops", "confluence", "bitbucket",
	"trello", "opsgenie", "statuspage"}

// LearnUse asks when people used apps, but only for those for whom a rule depends on it and whom the search left
// unanswered. That call is limited to 200 a minute for the whole organization; so its result is kept for some hours. If
// it is rate-limited or fails, people stay unknown for now. Two responses have to lack an app before it counts as never
// used.
//
// Calls: one for each such person, 150 at most.
func (s *Session) LearnUse(ctx context.Context, b *policy.Bound, ps []access.Person,
	states map[string]ledger.PersonState) error {
	if !s.Policy.NeedsActivity() {
		return nil
	}
	ids := s.needUse(b, ps, states)
	if len(ids) == 0 {
		return nil
	}
	kept, err := s.Ledger.Use(ctx, s.Org, ids, s.Now().Add(-UseKept))
	if err != nil {
		return err
	}
	used, fresh := map[string][]access.Activity{}, map[string]ledger.Use{}
	for _, id := range ids {
		before, known := kept[id]
		if known && !before.Silent {
			used[id] = before.Apps
			continue
		}
		if s.uses >= mostUses {
			continue
		}
		s.uses++
		all, err := s.use(ctx, id)
		if errors.Is(err, organization.ErrNotFound) {
			continue
		}
		if err != nil { // no reason to delay everything else
			if ctx.Err() != nil {
				return ctx.Err()
			}
			activity.GetLogger(ctx).Info("it is not known for now when people used apps", "error", err)
			s.uses = mostUses
			break
		}
		i := slices.IndexFunc(ps, func(p access.Person) bool { return p.ID == id })
		silent := !known && !namesAll(all, ps[i].Activity)
		if fresh[id] = (ledger.Use{Apps: all, Silent: silent}); !silent {
			used[id] = all
		}
		activity.RecordHeartbeat(ctx)
	}
	if len(fresh) > 0 {
		if err := s.Ledger.SaveUse(ctx, s.Org, fresh, s.Now()); err != nil {
			return err
		}
	}
	for i := range ps {
		if all, known := used[ps[i].ID]; known {
			ps[i].Activity = MergeActivity(ps[i].Activity, all)
		}
	}
	return nil
}

// needUse returns the accounts of the people for whom a rule needs to know when they used which app.
func (s *Session) needUse(b *policy.Bound, ps []access.Person, states map[string]ledger.PersonState) (ids []string) {
	for _, p := range ps {
		answers := b.Resolve(p, policy.Known{Marks: states[p.ID].Marks, Held: states[p.ID].Holdings,
			Grants: access.InForce(states[p.ID].Grants, s.Now()), Now: s.Now(), Would: true}).Rules
		if slices.ContainsFunc(answers, func(a policy.RuleAnswer) bool { return a.AsksUse }) && p.Activity != nil {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// use asks when one person used which app.
func (s *Session) use(ctx context.Context, id string) ([]access.Activity, error) {
	all := []access.Activity{}
	err := EveryPage(ctx, "read when "+id+" used apps", boundUse,
		func(cursor string) (organization.Page[organization.ProductAccess], error) {
			page, err := s.API.LastActive(ctx, id, cursor)
			return organization.Page[organization.ProductAccess]{Items: page.Apps, Next: page.Next}, err
		}, func(apps []organization.ProductAccess) (bool, error) {
			for _, a := range apps {
				all = append(all, access.Activity{Resource: a.ResourceID, Last: a.LastActive})
			}
			return true, nil
		})
	return all, err
}

// namesAll reports whether a response has every app that the person has access to and whose use Atlassian counts.
func namesAll(used, shown []access.Activity) bool {
	return !slices.ContainsFunc(shown, func(a access.Activity) bool {
		return countsUse(a.Resource) && !slices.ContainsFunc(used,
			func(u access.Activity) bool { return u.Resource == a.Resource })
	})
}

// MergeActivity fills in what the search did not tell about apps that the person has access to.
func MergeActivity(shown, used []access.Activity) []access.Activity {
	all := slices.Clone(shown)
	for i := range all {
		if all[i].Known() {
			continue
		}
		at := slices.IndexFunc(used, func(u access.Activity) bool { return u.Resource == all[i].Resource })
		switch {
		case at >= 0:
			all[i].Last = used[at].Last
		case countsUse(all[i].Resource):
			all[i].Never = true
		}
	}
	return all
}

func countsUse(resource string) bool {
	parts := strings.Split(resource, ":")
	return len(parts) > 2 && slices.Contains(countedApps, parts[2])
}

// What is known about somebody's use of apps.
const (
	UseSome    = "some"
	UseNone    = "none" // none of their apps lately or ever, as far as all of them are known
	UseUnknown = "unknown"
)

// LastUse returns in words when somebody last used anything, and whether they used something since an instant.
func LastUse(f condition.Facts, since time.Time) (words, used string) {
	var last time.Time
	unknown, never := f.Apps == nil, true
	for _, u := range f.Apps {
		if !u.Known() {
			unknown = true
			continue
		}
		never = never && u.Never
		if u.Last.After(last) {
			last = u.Last
		}
	}
	switch {
	case last.After(since):
		return Date(last), UseSome
	case !last.IsZero() && unknown:
		return Date(last) + " or later", UseUnknown
	case unknown:
		return "not known", UseUnknown
	case never || last.IsZero():
		return "never", UseNone
	}
	return Date(last), UseNone
}
