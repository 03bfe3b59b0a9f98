package identities_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

// TestProvisionStopsAloneWhenItsDirectoryRefuses: with a lapsed subscription, or an expired key, the provision says
// what to do, access goes on, and once the directory answers again so does the provision, by itself.
func TestProvisionStopsAloneWhenItsDirectoryRefuses(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, crew())
	o.provisioned(nil)
	for _, trouble := range []struct {
		setting         string
		refuses, allows any
		kind, advice    string
		joiner          string
	}{
		{"guardLapsed", true, false, session.ErrForbidden, "subscription to Atlassian Guard", "p00"},
		{"scimKey", "expired", "valid", session.ErrKeyRefused, "make a new one", "p01"},
	} {
		suite.Set(t, o.Stack, map[string]any{trouble.setting: trouble.refuses})
		recruit := hire("after-" + trouble.joiner)
		o.Staff["e-"+recruit.Name] = recruit
		o.Groups["engineers"] = append(o.Groups["engineers"], "e-"+trouble.joiner)
		o.Export()
		state := o.until(func(s messages.OrgSyncState) bool { return s.Provisions[0].Problem != nil })
		require.Equal(t, trouble.kind, state.Provisions[0].Problem.Kind)
		require.Contains(t, state.Provisions[0].Problem.Message, trouble.advice)
		out, err := o.Starter(t.Context(), "status", org)
		require.NoError(t, err)
		require.Contains(t, out, trouble.advice)

		o.eventually(func() error { return has(o.members(tools), trouble.joiner) })
		state, err = o.Status(t.Context(), org)
		require.NoError(t, err)
		require.Nil(t, state.Problem)
		require.NotContains(t, o.records(), recruit.Email)

		suite.Set(t, o.Stack, map[string]any{trouble.setting: trouble.allows})
		o.personAt(recruit.Email, linked)
		o.until(provisionedAll)
	}
}

func has(names []string, name string) error {
	for _, one := range names {
		if one == name {
			return nil
		}
	}
	return errors.New(name + " is missing")
}

// TestProvisionSurvivesARenewal: what was approved and what changed while a directory refuses is written after it
// answers again, though the organization's history was renewed meanwhile; and nobody is asked again.
func TestProvisionSurvivesARenewal(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, crew())
	_, err := o.Apply(t.Context(), org, o.policy(engineers, map[string]any{"provision": o.provision()}))
	require.NoError(t, err)
	hold := o.heldRecords()
	require.Equal(t, len(o.Staff), hold.Updates)
	suite.Set(t, o.Stack, map[string]any{"guardLapsed": true})
	o.approveRecords()
	o.Staff["e-new"] = hire("new")
	o.Export()
	pending := o.until(func(s messages.OrgSyncState) bool {
		return s.Provisions != nil && s.Provisions[0].Problem != nil && len(s.Pending.Provisions) == 2 &&
			s.Sources[0].People == len(o.Staff)
	}).Pending.Provisions

	before := o.history()
	require.NoError(t, o.Temporal.Client.SignalWorkflow(t.Context(), messages.OrgSyncID(org), "",
		messages.ForceContinueAsNew, nil))
	o.eventually(func() error {
		if o.history() == before {
			return errors.New("the history is the same")
		}
		return nil
	})
	state, err := o.Status(t.Context(), org)
	require.NoError(t, err)
	require.ElementsMatch(t, pending, state.Pending.Provisions)

	suite.Set(t, o.Stack, map[string]any{"guardLapsed": false})
	o.personAt(o.Staff["e-new"].Email, linked)
	for _, e := range o.Staff {
		o.inDepartment(e.Email, e.Department)
	}
	require.Nil(t, o.until(provisionedAll).IdentityHold)
}

// history identifies the history of the organization's workflow that is written now.
func (o *testOrg) history() string {
	o.t.Helper()
	described, err := o.Temporal.Client.DescribeWorkflowExecution(o.t.Context(), messages.OrgSyncID(org), "")
	require.NoError(o.t, err)
	return described.WorkflowExecutionInfo.Execution.RunId
}
