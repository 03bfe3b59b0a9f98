package sync_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

const workflowID = "org-sync:" + org

// cli types a command of the plain Temporal CLI.
func (o *testOrg) cli(args ...string) string {
	o.t.Helper()
	out, err := o.CLI(o.t.Context(), args...)
	require.NoError(o.t, err)
	return out
}

// update types an update; the error holds what the CLI printed.
func (o *testOrg) update(name, input string) (string, error) {
	o.t.Helper()
	return o.CLI(o.t.Context(), "workflow", "update", "execute", "--workflow-id", workflowID, "--name", name,
		"--input", input)
}

func (o *testOrg) signal(name, input string) {
	o.t.Helper()
	o.cli("workflow", "signal", "--workflow-id", workflowID, "--name", name, "--input", input)
}

// startByHand starts an organization as the README shows it.
func (o *testOrg) startByHand(id string, policy any) {
	o.t.Helper()
	input, err := json.Marshal(map[string]any{"policy": policy, "by": "ops@example.com"})
	require.NoError(o.t, err)
	file := filepath.Join(o.t.TempDir(), "acme.json")
	require.NoError(o.t, os.WriteFile(file, input, 0o600))
	o.cli("workflow", "start", "--type", "OrgSync", "--workflow-id", id, "--task-queue", "castellan",
		"--input-file", file)
}

// queried returns the status as the CLI shows it.
func (o *testOrg) queried() (state messages.OrgSyncState) {
	o.t.Helper()
	out := o.cli("workflow", "query", "--workflow-id", workflowID, "--type", "status", "--output", "json")
	var answer struct {
		QueryResult []messages.OrgSyncState `json:"queryResult"`
	}
	require.NoError(o.t, json.Unmarshal([]byte(out), &answer), out)
	require.Len(o.t, answer.QueryResult, 1)
	return answer.QueryResult[0]
}

// refused waits for a signal to be listed as not accepted, and returns why.
func (o *testOrg) refused(name string, nth int) string {
	o.t.Helper()
	var why string
	o.until(func(s messages.OrgSyncState) bool {
		n := 0
		for _, r := range s.Refused {
			if r.Name == name {
				if n++; n == nth {
					why = r.Why
				}
			}
		}
		return n >= nth
	})
	return why
}

func TestTemporalCLIByHand(t *testing.T) {
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, emptyShop()))
	o.startByHand(workflowID, shopPolicy().object(o))
	hold := o.until(held).Hold
	require.Equal(t, *hold, *o.queried().Hold)

	t.Log("it is found by its search attributes")
	o.eventually(func() error {
		out := o.cli("workflow", "list", "--query", `CastellanOrg="acme" AND CastellanState="held"`)
		if !strings.Contains(out, workflowID) {
			return fmt.Errorf("it is not listed:\n%s", out)
		}
		return nil
	})

	t.Log("wrong updates are refused with what to do")
	for name, wrong := range map[string]struct{ update, input, says string }{
		"text instead of an object": {messages.ApprovePlan, `"` + hold.Plan + `"`, "the input is not valid"},
		"an unknown field": {messages.ApprovePlan, `{"plan":"` + hold.Plan + `","by":"a","force":true}`,
			"force"},
		"another plan":       {messages.ApprovePlan, `{"plan":"sha256:00","by":"a"}`, hold.Plan},
		"nobody who decides": {messages.RejectPlan, `{"plan":"` + hold.Plan + `"}`, "by is missing"},
		"a placeholder decides": {messages.ApprovePlan, `{"plan":"` + hold.Plan + `","by":"you@example.com"}`,
			"put your own e-mail address"},
		"no plan": {messages.RejectPlan, `{"plan":"it","by":"a"}`, "plan is missing"},
		"an unknown person": {messages.SyncNow, `{"person":"nobody@example.com","by":"a"}`,
			"nobody@example.com"},
		"a number for a person": {messages.SyncNow, `{"person":7}`, "person"},
		"resume without pause":  {messages.Resume, `{"by":"a"}`, "not paused"},
		"pause by nobody":       {messages.Pause, `{}`, "by is missing"},
		"undo of nothing":       {messages.Undo, `{"by":"a"}`, "run is missing"},
		"no policy":             {messages.ApplyPolicy, `{"by":"a"}`, "policy is missing"},
		"a policy that is none": {messages.ApplyPolicy, `{"by":"a","policy":{"version":1}}`, "mappings"},
		"a policy for another": {messages.ApplyPolicy,
			`{"by":"a","policy":` + strings.ReplaceAll(shopPolicy().text(o), `"acme"`, `"other"`) + `}`, "other"},
	} {
		_, err := o.update(wrong.update, wrong.input)
		require.ErrorContains(t, err, wrong.says, name)
	}
	_, err := o.update("weather", `{}`)
	require.ErrorContains(t, err, "unknown update", "an update that does not exist")

	t.Log("wrong signals are listed, and harm nothing")
	o.signal(messages.SyncNow, `"everybody"`)
	require.Contains(t, o.refused(messages.SyncNow, 1), "the input is not valid")
	o.signal(messages.SyncNow, `{"persons":["p001@example.com"]}`)
	require.Contains(t, o.refused(messages.SyncNow, 2), "persons")
	o.signal(messages.ApprovePlan, `{"plan":"sha256:00","by":"a"}`)
	require.Contains(t, o.refused(messages.ApprovePlan, 1), hold.Plan)
	o.signal(messages.Pause, `[]`)
	o.refused(messages.Pause, 1)
	o.signal(messages.SyncNow, `{"person":"nobody@example.com","by":"a"}`)
	require.Contains(t, o.refused(messages.SyncNow, 3), "nobody@example.com")
	require.Equal(t, hold, o.status().Hold)
	require.Zero(t, o.stats().Writes)

	t.Log("and the right ones work: an update, then signals")
	out, err := o.update(messages.ApprovePlan, `{"plan":"`+hold.Plan+`","by":"boss@example.com","note":"CHG-12"}`)
	require.NoError(t, err)
	require.Contains(t, out, "released: 70 adds")
	o.until(func(s messages.OrgSyncState) bool { return s.Adopted && over(s) && s.LastFull != nil })
	o.requireInStep(shop, nil)
	o.signal(messages.Pause, `{"by":"boss@example.com","reason":"an audit"}`)
	o.until(func(s messages.OrgSyncState) bool { return s.State == messages.StatePaused })
	require.Equal(t, "an audit", o.queried().Paused.Reason)
	o.signal(messages.Resume, `{"by":"boss@example.com"}`)
	o.until(func(s messages.OrgSyncState) bool { return s.State == messages.StateOK && over(s) })
	o.join("ops", "p055")
	o.signal(messages.SyncNow, `{"person":"p055@example.com","by":"boss@example.com"}`)
	o.eventually(func() error { return inStep(t, o.state(), shop, nil) })
}

func TestOrgSyncWrongStarts(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, "--org", suite.OrgFile(t, emptyShop()))

	t.Log("a wrong workflow id")
	o.startByHand("acme", shopPolicy().object(o))
	o.eventually(func() error {
		out, err := o.CLI(t.Context(), "workflow", "result", "--workflow-id", "acme")
		if err == nil || !strings.Contains(out, "the workflow ID must be org-sync:<organization>") {
			return fmt.Errorf("the result is %q, %w", out, err)
		}
		return nil
	})

	t.Log("a workflow id of another organization, and a policy that starter apply has refused: nothing is left behind")
	o.startByHand("org-sync:acne", shopPolicy().object(o))
	o.eventually(func() error {
		out, err := o.CLI(t.Context(), "workflow", "result", "--workflow-id", "org-sync:acne")
		if err == nil || !strings.Contains(out, `this workflow for "acne"`) {
			return fmt.Errorf("the result is %q, %w", out, err)
		}
		return nil
	})
	file := filepath.Join(t.TempDir(), "globex.yaml")
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(shopPolicy().text(o), `"acme"`, `"globex"`)),
		0o600))
	_, err := o.Starter(t.Context(), "apply", file)
	require.ErrorContains(t, err, "may not use it")
	_, err = o.Starter(t.Context(), "status", "globex")
	require.ErrorContains(t, err, "was ended by a failure (")
	_, err = o.Starter(t.Context(), "runs")
	require.ErrorContains(t, err, "no organization is running")

	t.Log("a policy that does not compile: said in the status, mended by a good one")
	broken := shopPolicy().object(o)
	broken["mapings"] = broken["mappings"]
	o.startByHand(workflowID, broken)
	state := o.until(func(s messages.OrgSyncState) bool { return s.Problem != nil })
	require.Equal(t, "PolicyError", state.Problem.Kind)
	require.Contains(t, state.Problem.Message, "mapings")
	require.Equal(t, messages.StateProblem, state.State)

	t.Log("an organization that the key may not manage")
	other := shopPolicy()
	other.id = "0a1b2c3d-0000-4000-8000-000000000001"
	_, err = o.update(messages.ApplyPolicy, `{"by":"a","policy":`+other.text(o)+`}`)
	require.ErrorContains(t, err, "organization.id")

	t.Log("a key that is not there")
	keyless := shopPolicy()
	keyless.key = "env:CASTELLAN_KEY_NONE"
	_, err = o.update(messages.ApplyPolicy, `{"by":"a","policy":`+keyless.text(o)+`}`)
	require.ErrorContains(t, err, "CASTELLAN_KEY_NONE")

	t.Log("a key of another organization")
	o.set(map[string]any{"keys": map[string]string{"sim-org-key": "otherOrg"}})
	_, err = o.update(messages.ApplyPolicy, `{"by":"a","policy":`+shopPolicy().text(o)+`}`)
	require.ErrorContains(t, err, "without scopes")

	t.Log("a key that may only read: everything is refused, and said")
	o.set(map[string]any{"keys": map[string]string{"sim-org-key": "readonly"}})
	_, err = o.update(messages.ApplyPolicy, `{"by":"a","policy":`+shopPolicy().text(o)+`}`)
	require.NoError(t, err)
	state = o.until(held)
	require.Nil(t, state.Problem)
	require.NoError(t, o.Decide(t.Context(), org, messages.ApprovePlan, state.Hold.Plan))
	state = o.until(func(s messages.OrgSyncState) bool {
		return over(s) && s.LastRun != nil && s.LastRun.Counts.Refused > 0
	})
	require.Contains(t, words(state), "refused")
	require.Empty(t, group(t, o.state(), jira).Members)
	require.Less(t, o.stats().Operations["memberships.add"], 40, "a target that refuses is not asked for everybody")

	t.Log("with a good key it comes right")
	o.set(map[string]any{"keys": map[string]string{"sim-org-key": "valid"}})
	o.syncNow()
	o.requireInStep(shop, nil)
}
