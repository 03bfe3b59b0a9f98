package campaign

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// losingOrganization is a followedOrganization with groups of another identity provider, which that deletes; a person
// has them restored.
var losingOrganization = organizationOf{
	flags: func(t *testing.T) []string {
		file := cloud.OrgFile{Domains: []string{"acme.example"}, People: []string{"boss"}, Admins: []string{"boss"}}
		for n := range memberCount {
			file.People = append(file.People, name(n))
		}
		for n := range syncedCount {
			g := cloud.OrgGroup{Name: fmt.Sprintf("synced-%02d", n)}
			for i := range 3 + 6*n {
				g.Members = append(g.Members, name((5*n+i)%memberCount))
			}
			file.Groups = append(file.Groups, g)
		}
		return []string{"--org", suite.OrgFile(t, file)}
	},
	model:   newLosing,
	decides: true,
}

const syncedCount = 4

// losingOrg is what the test knows of groups that somebody else deletes at Atlassian, beside those that follow.
type losingOrg struct {
	*followedOrg
	was       []cloud.StateGroup // as they are to be; the id is the present one's
	lost      []bool
	restores  int
	members   int // of restored groups
	different []string
}

func newLosing(ctx context.Context, s *stack.Stack) (orgModel, error) {
	of, err := newFollowed(ctx, s)
	if err != nil {
		return nil, err
	}
	w := &losingOrg{followedOrg: of.(*followedOrg), lost: make([]bool, syncedCount)}
	w.source = "30%" // beyond that, records of groups do not believe who is gone
	api, err := organization.New(organization.Options{BaseURL: s.Simulator.URL + "/admin", OrgID: s.Simulator.OrgID,
		Key: func(context.Context) (string, error) { return stack.OrgKey, nil }})
	if err != nil {
		return nil, err
	}
	state, err := s.Simulator.State(ctx)
	if err != nil {
		return nil, err
	}
	for n := range syncedCount {
		g, _ := named(state, fmt.Sprintf("synced-%02d", n))
		for _, r := range state.Resources {
			if r.App != "jira-software" && (r.App != "confluence" || n%2 > 0) {
				continue
			}
			if err := organization.NewWriter(api).AssignGroupRole(ctx, s.Simulator.DirectoryID, g.ID, "atlassian/user",
				r.Resource); err != nil {
				return nil, err
			}
		}
	}
	if state, err = s.Simulator.State(ctx); err != nil {
		return nil, err
	}
	for n := range syncedCount {
		g, there := named(state, fmt.Sprintf("synced-%02d", n))
		if !there || len(g.Members) == 0 || len(g.Roles) == 0 {
			return nil, fmt.Errorf("group %q has no members or no roles: %+v", g.Name, g)
		}
		w.was = append(w.was, g)
	}
	return w, nil
}

func named(state cloud.State, name string) (cloud.StateGroup, bool) {
	i := slices.IndexFunc(state.Groups, func(g cloud.StateGroup) bool { return g.Name == name })
	if i < 0 {
		return cloud.StateGroup{}, false
	}
	return state.Groups[i], true
}

// day is a day of followedOrg, on which the other provider may delete a group, or have it emptied before.
func (w *losingOrg) day(ctx context.Context, random *rand.Rand) error {
	n, emptied := random.IntN(2*syncedCount), random.IntN(3) == 0
	if n < syncedCount && !w.lost[n] {
		if err := w.lose(ctx, n, emptied); err != nil {
			return err
		}
	}
	return w.followedOrg.day(ctx, random)
}

func (w *losingOrg) lose(ctx context.Context, n int, emptied bool) error {
	g := w.was[n]
	w.lost[n] = true
	if !g.Synced {
		if emptied {
			if err := w.Simulator.Expel(ctx, g.Name, g.Members...); err != nil {
				return err
			}
		}
		return w.Simulator.DropGroup(ctx, g.Name)
	}
	directory, err := w.Simulator.SCIM()
	if err != nil {
		return err
	}
	if emptied {
		if _, err := directory.ReplaceMembers(ctx, g.SCIMGroupID); err != nil {
			return err
		}
		// Verifications may see it so.
		_ = w.Update(ctx, org, messages.SyncNow, messages.SyncNowInput{By: decider}, nil)
		_, _ = w.Until(ctx, org, 5*time.Second, func(s messages.OrgSyncState) bool {
			return s.Running == nil && s.Pending.Full == ""
		})
	}
	return directory.DeleteGroup(ctx, g.SCIMGroupID)
}

// right restores what is lost, once all else is right.
func (w *losingOrg) right(ctx context.Context) error {
	if err := w.followedOrg.right(ctx); err != nil {
		return err
	}
	restored := false
	for n := range w.was {
		if !w.lost[n] {
			continue
		}
		if err := w.restore(ctx, n); err != nil {
			return w.explain(ctx, err)
		}
		w.lost[n], restored = false, true
	}
	if restored { // what no verification has seen is on no record
		return errors.New("the groups that were restored are to be verified")
	}
	return nil
}

// restore has a lost group restored once its loss is reported, and compares it with what it was.
func (w *losingOrg) restore(ctx context.Context, n int) error {
	was := w.was[n]
	s, err := w.Status(ctx, org)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(s.Findings, func(f string) bool {
		return strings.HasPrefix(f, "group-lost") && strings.Contains(f, was.ID)
	}) {
		return fmt.Errorf("nothing says that %s is lost", was.Name)
	}
	run, err := w.Temporal.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: messages.RestoreID(org, was.ID), TaskQueue: messages.QueueWorkflows,
		WorkflowTaskTimeout:      messages.TaskTimeout,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, messages.GroupRestore, messages.RestoreInput{By: decider})
	if err != nil {
		return err
	}
	state, err := w.approve(ctx, run)
	if err != nil {
		return err
	}
	if w.restores++; w.restores%4 == 0 { // the worker dies in the middle
		w.kills++
		if err := w.restart(); err != nil {
			return err
		}
	}
	within, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := run.Get(within, &state); err != nil {
		return fmt.Errorf("the restore of %s is not over: %w", was.Name, err)
	}
	return w.compare(ctx, n, state)
}

// approve approves the preview of a restore.
func (w *losingOrg) approve(ctx context.Context, run client.WorkflowRun) (state messages.RestoreState, err error) {
	err = stack.Eventually(ctx, time.Minute, func() error {
		value, err := w.Temporal.Client.QueryWorkflow(ctx, run.GetID(), run.GetRunID(), messages.Status)
		if err == nil {
			err = value.Get(&state)
		}
		if err == nil && state.Hold == nil && state.State == messages.RestoreReading {
			err = errors.New("there is no preview")
		}
		return err
	})
	if err != nil || state.Hold == nil {
		return state, err
	}
	var answer messages.Answer
	return state, w.UpdateOn(ctx, run.GetID(), messages.ApprovePlan,
		messages.DecisionInput{Plan: state.Hold.Plan, By: decider}, &answer)
}

// compare takes note of how a restored group differs from what it was.
func (w *losingOrg) compare(ctx context.Context, n int, state messages.RestoreState) error {
	now, err := w.Simulator.State(ctx)
	if err != nil {
		return err
	}
	was := w.was[n]
	is, there := named(now, was.Name)
	sorted := func(g cloud.StateGroup) string {
		roles := slices.Clone(g.Roles)
		slices.SortFunc(roles, func(a, b cloud.StateRole) int {
			return strings.Compare(a.Resource+a.Role, b.Resource+b.Role)
		})
		return fmt.Sprint(slices.Sorted(slices.Values(g.Members)), roles)
	}
	if !there || state.State != messages.RestoreDone || sorted(is) != sorted(was) {
		w.different = append(w.different, w.failure("%s was %s and is %s after a restore: %+v", was.Name, sorted(was),
			sorted(is), state))
		is = was
	}
	w.members += len(is.Members)
	w.was[n].ID, w.was[n].Synced, w.was[n].SCIMGroupID = is.ID, is.Synced, is.SCIMGroupID
	return nil
}

func (w *losingOrg) tally() string {
	return fmt.Sprintf("%s; %d groups restored, %d of them different", w.followedOrg.tally(), w.restores, len(w.different))
}

func (w *losingOrg) report(t *testing.T) {
	t.Helper()
	w.followedOrg.report(t)
	t.Logf("groups restored: %d, with %d members; different: %d", w.restores, w.members, len(w.different))
	require.Empty(t, w.different, "restored groups that are not as they were")
}
