package workflows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// TestRecord writes the histories that TestRecordedHistoriesReplay replays, from a real Temporal server:
//
//	make tools && CASTELLAN_RECORD=1 go test ./workflows -run '^TestRecord$' -count=1
//
// Record from code that is released, and add histories rather than replace them: one that is there is never written
// over. To record one path alone, name it: -run '^TestRecord$/^grant$'.
func TestRecord(t *testing.T) {
	if os.Getenv("CASTELLAN_RECORD") == "" {
		t.Skip("set CASTELLAN_RECORD=1 to record histories")
	}
	cli := os.Getenv("CASTELLAN_TEMPORAL_CLI")
	if cli == "" {
		cli = "../bin/temporal"
	}
	extra := []string{}
	for name, kind := range messages.Attributes() {
		extra = append(extra, "--search-attribute", name+"="+kind.String())
	}
	for _, value := range []string{"history.transferProcessorMaxPollRPS=1000",
		"history.timerProcessorMaxPollRPS=1000"} {
		extra = append(extra, "--dynamic-config-value", value)
	}
	server, err := testsuite.StartDevServer(t.Context(), testsuite.DevServerOptions{
		ExistingPath: cli, LogLevel: "error", ExtraArgs: extra,
		ClientOptions: &client.Options{Logger: quiet, Identity: "recorder"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	for name, play := range map[string]func(*recordedOrg){
		"adoption": playAdoption, "rejection": playRejection, "pause": playPause, "undo": playUndo,
		"events":  playEvents,
		"renewal": playRenewal, "signalled": playSignalled, "grant": playGrant, "decided grant": playDecidedGrant,
		"blocked grant": playBlockedGrant,
		"rules":         playRules, "ledger": playLedger, "review": playReview, "review at once": playReviewAtOnce,
		"ended review": playEndedReviews, "sources": playSources, "links": playLinks,
		"restores": playRestores, "synced groups": playSyncedGroups,
	} {
		people := small
		if strings.Contains(name, "review") {
			people = seated
		}
		t.Run(name, func(t *testing.T) { play(newRecordedOrg(t, server.Client(), people)) })
	}
}

// recordedOrg is one organization whose histories are recorded: a simulated Atlassian, a ledger and a worker of its
// own.
type recordedOrg struct {
	t      *testing.T
	client client.Client
	sim    *cloud.Cloud
	url    string
	policy func(guard string) json.RawMessage
	grants string // the policy's section
	rules  string // the policy's sections rules and governance, or reviews, or sources and provision

	exports string   // a folder of files that a source may read
	crew    []string // keys of the people in the group crew there
}

// small is the organization: ten people, two source groups, two targets.
var small = cloud.OrgFile{
	People: []string{"ana", "bo", "carol", "dan", "eve", "finn", "gil", "hana", "ivo", "jo"},
	Admins: []string{"ana"},
	Groups: []cloud.OrgGroup{
		{Name: "eng", Members: []string{"ana", "bo", "carol", "dan", "eve"}},
		{Name: "support", Members: []string{"finn", "gil", "hana"}},
	},
	Local:   []cloud.OrgGroup{{Name: "builders"}, {Name: "helpers"}, {Name: "vault"}},
	Foreign: map[string][]string{"helpers": {"finn"}},
}

func newRecordedOrg(t *testing.T, temporal client.Client, people cloud.OrgFile) *recordedOrg {
	t.Helper()
	r := &recordedOrg{t: t, client: temporal, sim: cloud.New(cloud.Options{}), exports: t.TempDir()}
	require.NoError(t, r.sim.SeedOrg(people))
	served := httptest.NewServer(r.sim.Handler())
	t.Cleanup(served.Close)
	r.url = served.URL
	store, err := ledger.Open(t.Context(), "file:"+filepath.Join(t.TempDir(), "ledger.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	acts := activities.New(activities.Options{
		Options: session.Options{
			Ledger: store, AtlassianURL: served.URL + "/admin",
			Secret: func(_, ref string) (string, error) {
				if ref == "env:SCIM" {
					return cloud.DefaultSCIMKey, nil
				}
				return cloud.DefaultKey, nil
			},
			SourceFolders: map[string][]string{org: {r.exports}},
			Temporal:      temporal, Notifier: discardNotifier{},
		},
		Schedules: temporal,
	})
	flows := worker.New(temporal, messages.QueueWorkflows, worker.Options{DisableRegistrationAliasing: true})
	register(flows)
	calls := worker.New(temporal, messages.QueueAtlassian,
		worker.Options{DisableRegistrationAliasing: true, DisableWorkflowWorker: true})
	acts.Register(calls)
	watches := worker.New(temporal, messages.QueueWatches,
		worker.Options{DisableRegistrationAliasing: true, DisableWorkflowWorker: true})
	acts.Register(watches)
	for _, w := range []worker.Worker{flows, calls, watches} {
		require.NoError(t, w.Start())
		t.Cleanup(w.Stop)
	}
	r.policy = func(guard string) json.RawMessage {
		text, err := json.Marshal(fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:KEY"}
mappings:
  - {name: builders, from: [eng], to: ["group:builders"]}
  - {name: helpers, from: [support], to: ["group:helpers"], adopt: true}
guard: {settle: 1s, %s}
sync: {feed: 5s, every: 1h, inFlight: 2}
%s
%s
`, r.sim.Info().OrgID, guard, r.grants, r.rules))
		require.NoError(t, err)
		return text
	}
	return r
}

// discardNotifier is told what notices say.
type discardNotifier struct{}

func (discardNotifier) Private() bool                                 { return true }
func (discardNotifier) Notify(context.Context, messages.Notice) error { return nil }

func (r *recordedOrg) start(guard string) {
	r.t.Helper()
	_, err := r.client.ExecuteWorkflow(r.t.Context(), client.StartWorkflowOptions{
		ID: messages.OrgSyncID(org), TaskQueue: messages.QueueWorkflows,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	}, messages.OrgSync, messages.OrgSyncInput{Policy: r.policy(guard), By: "ana"})
	require.NoError(r.t, err)
}

func (r *recordedOrg) update(name string, in any) {
	r.t.Helper()
	r.updateOf(messages.OrgSyncID(org), name, in)
}

func (r *recordedOrg) updateOf(workflowID, name string, in any) {
	r.t.Helper()
	handle, err := r.client.UpdateWorkflow(r.t.Context(), client.UpdateWorkflowOptions{
		WorkflowID: workflowID, UpdateName: name, Args: []any{in}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	require.NoError(r.t, err)
	require.NoError(r.t, handle.Get(r.t.Context(), nil))
}

func (r *recordedOrg) signal(name string, in any) {
	r.t.Helper()
	require.NoError(r.t, r.client.SignalWorkflow(r.t.Context(), messages.OrgSyncID(org), "", name, in))
}

// until waits for the status to be as wanted.
func (r *recordedOrg) until(want func(messages.OrgSyncState) bool) messages.OrgSyncState {
	r.t.Helper()
	return statusOf(r, messages.OrgSyncID(org), want)
}

// statusOf waits for a workflow's status to be as wanted.
func statusOf[S any](r *recordedOrg, workflowID string, want func(S) bool) S {
	r.t.Helper()
	var value converter.EncodedValue
	var state, none S
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		value, err = r.client.QueryWorkflow(r.t.Context(), workflowID, "", messages.Status)
		state = none
		if err == nil && value.Get(&state) == nil && want(state) {
			return state
		}
		<-time.After(50 * time.Millisecond)
	}
	require.FailNow(r.t, "the status did not become as wanted", "%+v %v", state, err)
	return state
}

// idle reports whether everybody was looked at and nothing is due.
func idle(s messages.OrgSyncState) bool {
	p := s.Pending
	return s.Running == nil && s.LastFull != nil && p.Full == "" && !p.Fresh &&
		len(p.People)+len(p.Groups)+len(p.Settling)+len(p.Jobs) == 0
}

func (r *recordedOrg) adopt() messages.OrgSyncState {
	r.t.Helper()
	r.start("adopt: auto")
	return r.until(idle)
}

// change moves people in or out of a source group, as its identity provider does.
func (r *recordedOrg) change(op, source string, names ...string) {
	r.t.Helper()
	state := r.sim.State()
	group := state.Groups[slices.IndexFunc(state.Groups, func(g cloud.StateGroup) bool { return g.Name == source })]
	var members []map[string]string
	for _, name := range names {
		p := state.People[slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.Name == name })]
		members = append(members, map[string]string{"value": p.SCIMUserID})
	}
	body, err := json.Marshal(map[string]any{
		"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
		"Operations": []any{map[string]any{"op": op, "path": "members", "value": members}},
	})
	require.NoError(r.t, err)
	url := r.url + "/scim/directory/" + r.sim.Info().SCIMDirectoryID + "/Groups/" + group.SCIMGroupID
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPatch, url, strings.NewReader(string(body)))
	require.NoError(r.t, err)
	request.Header.Set("Authorization", "Bearer "+cloud.DefaultSCIMKey)
	request.Header.Set("Content-Type", "application/scim+json")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(r.t, err)
	require.NoError(r.t, answer.Body.Close())
	require.Less(r.t, answer.StatusCode, 300, answer.Status)
}

// ask asks a question and records its history.
func (r *recordedOrg) ask(path string, in messages.ReportInput) {
	r.t.Helper()
	id := messages.ReportID(org, in.Kind, "1")
	run, err := r.client.ExecuteWorkflow(r.t.Context(),
		client.StartWorkflowOptions{ID: id, TaskQueue: messages.QueueWorkflows}, messages.Report, in)
	require.NoError(r.t, err)
	require.NoError(r.t, run.Get(r.t.Context(), nil))
	r.save("report-"+path, id)
}

// end ends the loop and records its history.
func (r *recordedOrg) end(path string) {
	r.t.Helper()
	require.NoError(r.t, r.client.CancelWorkflow(r.t.Context(), messages.OrgSyncID(org), ""))
	require.Error(r.t, r.client.GetWorkflow(r.t.Context(), messages.OrgSyncID(org), "").Get(r.t.Context(), nil))
	r.save("orgsync-"+path, messages.OrgSyncID(org))
}

// save writes a workflow's history.
func (r *recordedOrg) save(name, workflowID string) { r.t.Helper(); r.saveRun(name, workflowID, "") }

func (r *recordedOrg) saveRun(name, workflowID, runID string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	history := &historypb.History{}
	events := r.client.GetWorkflowHistory(ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(r.t, err)
		history.Events = append(history.Events, event)
	}
	require.NotEmpty(r.t, history.Events)
	data, err := temporalproto.CustomJSONMarshalOptions{}.Marshal(history)
	require.NoError(r.t, err)
	if host, err := os.Hostname(); err == nil && host != "" {
		data = []byte(strings.ReplaceAll(string(data), host, "recorder"))
	}
	require.NoError(r.t, os.MkdirAll(histories, 0o755))
	file := filepath.Join(histories, name+".json")
	require.NoFileExists(r.t, file,
		"histories are added, not replaced; one of a workflow that never landed may be deleted first")
	require.NoError(r.t, os.WriteFile(file, append(data, '\n'), 0o644))
}

// renew has a fresh history started, and records the one that ended.
func (r *recordedOrg) renew(name, workflowID string) {
	r.t.Helper()
	runID := func() string {
		now, err := r.client.DescribeWorkflowExecution(r.t.Context(), workflowID, "")
		require.NoError(r.t, err)
		return now.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	}
	old := runID()
	require.NoError(r.t, r.client.SignalWorkflow(r.t.Context(), workflowID, "", messages.ForceContinueAsNew, nil))
	require.Eventually(r.t, func() bool { return runID() != old }, 2*time.Minute, 100*time.Millisecond)
	r.saveRun(name, workflowID, old)
}

// The first plan is held, shown, approved and written; then everybody is looked at again.
func playAdoption(r *recordedOrg) {
	r.start("adopt: ask")
	first := r.until(func(s messages.OrgSyncState) bool { return s.Hold != nil && idle(s) })
	r.save("reconcile-held", messages.ReconcileID(org, first.Hold.Run))
	r.ask("preview", messages.ReportInput{Org: org, Kind: messages.ReportPreview, Policy: r.policy("adopt: ask")})
	r.update(messages.ApprovePlan, messages.DecisionInput{Plan: first.Hold.Plan, By: "carol", Note: "CHG-12"})
	r.until(func(s messages.OrgSyncState) bool { return s.Adopted && idle(s) && s.LastFull.Run > first.LastID })
	r.save("reconcile-approved", messages.ReconcileID(org, first.Hold.Run)+":approved")
	r.ask("why", messages.ReportInput{Org: org, Kind: messages.ReportWhy, Person: "bo@example.com"})
	r.end("adoption")
}

// Removals beyond the guard are held and rejected.
func playRejection(r *recordedOrg) {
	r.start("adopt: auto, run: {removals: 0}")
	r.until(idle)
	r.change("remove", "eng", "bo", "carol")
	r.signal(messages.SyncNow, messages.SyncNowInput{By: "ana"})
	state := r.until(func(s messages.OrgSyncState) bool { return s.Hold != nil && idle(s) })
	r.signal(messages.RejectPlan, messages.DecisionInput{Plan: "sha256:another", By: "carol"})
	r.until(func(s messages.OrgSyncState) bool { return len(s.Refused) == 1 })
	r.update(messages.RejectPlan, messages.DecisionInput{Plan: state.Hold.Plan, By: "carol"})
	r.end("rejection")
}

// A run in the background stands aside while the organization is paused, and goes on after it.
func playPause(r *recordedOrg) {
	require.NoError(r.t, r.sim.Configure(
		func(s *cloud.Settings) error { s.Latency = cloud.Duration(150 * time.Millisecond); return nil }))
	r.start("adopt: auto")
	state := r.until(func(s messages.OrgSyncState) bool {
		return s.Running != nil &&
			s.Running.State == messages.RunApplying
	})
	r.update(messages.Pause, messages.PauseInput{By: "ana", Reason: "audit"})
	r.until(func(s messages.OrgSyncState) bool { return s.State == messages.StatePaused })
	r.update(messages.Resume, messages.ResumeInput{By: "ana"})
	r.until(idle)
	r.save("reconcile-gated", messages.ReconcileID(org, state.Running.Run))
	r.update(messages.Pause, messages.PauseInput{By: "ana"})
	r.update(messages.Resume, messages.ResumeInput{By: "ana"})
	r.until(func(s messages.OrgSyncState) bool { return idle(s) && s.LastFull.Run > state.Running.Run })
	r.end("pause")
}

// Additions and removals are made, and taken back.
func playUndo(r *recordedOrg) {
	r.adopt()
	r.update(messages.Pause, messages.PauseInput{By: "ana"}) // so that the full run finds it all, not the event feed
	r.change("remove", "eng", "bo")
	r.change("add", "eng", "ivo")
	before := r.until(func(s messages.OrgSyncState) bool { return s.Paused != nil }).LastID
	r.update(messages.Resume, messages.ResumeInput{By: "ana"})
	state := r.until(func(s messages.OrgSyncState) bool { return idle(s) && s.LastFull.Run > before })
	require.Equal(r.t, 2, state.LastFull.Counts.Done)
	r.save("reconcile-adds-and-removals", messages.ReconcileID(org, state.LastFull.Run))
	r.update(messages.Undo, messages.UndoInput{Run: state.LastFull.Run, By: "ana", Reason: "wrong people"})
	state = r.until(func(s messages.OrgSyncState) bool { return s.LastRun.Scope == messages.ScopeUndo })
	r.save("reconcile-undo", messages.ReconcileID(org, state.LastRun.Run))
	r.end("undo")
}

// People whom events name are looked at, and looked at again before something is taken from them.
func playEvents(r *recordedOrg) {
	first := r.adopt().LastID
	r.change("add", "eng", "ivo")
	added := r.until(func(s messages.OrgSyncState) bool { return idle(s) && s.LastRun.Run > first })
	r.save("reconcile-event", messages.ReconcileID(org, added.LastRun.Run))
	r.change("remove", "eng", "bo")
	r.until(func(s messages.OrgSyncState) bool { return idle(s) && s.LastRun.Run > added.LastRun.Run })
	r.update(messages.SyncNow, messages.SyncNowInput{Person: "carol@example.com", By: "ana"})
	r.update(messages.SyncNow, messages.SyncNowInput{By: "ana", DryRun: true})
	r.until(func(s messages.OrgSyncState) bool { return idle(s) && s.LastRun.DryRun })
	r.end("events")
}

// A fresh history is started, and goes on.
func playRenewal(r *recordedOrg) {
	r.adopt()
	r.renew("orgsync-renewed", messages.OrgSyncID(org))
	r.update(messages.ApplyPolicy, messages.PolicyInput{Policy: r.policy("adopt: auto, run: {removals: 7}"), By: "ana"})
	r.until(idle)
	r.end("carried")
}

// Rules come into force, people are due, somebody is suspended and restored; the organization is looked at as a whole.
func playRules(r *recordedOrg) {
	soon := time.Now().Add(8 * time.Second).UTC().Format(time.RFC3339)
	r.rules = `
governance: {schedule: "0 6 1 1 *"}
rules:
  - {name: idle, owner: ana@example.com, mode: enforce, when: 'title == "Idler"', suspend: true, after: 2s, grace: 2s}
  - {name: back, mode: enforce, when: 'title == "Engineer"', restore: true}
  - {name: later, mode: enforce, when: in("support"), give: ["group:vault"], during: {from: "` + soon + `"}}
  - {name: idea, owner: ana@example.com, when: in("eng"), deny: ["group:vault"]}`
	r.start("adopt: auto, rules: auto")
	first := r.until(func(s messages.OrgSyncState) bool { return idle(s) && !s.Rules.Next.IsZero() })
	r.until(func(s messages.OrgSyncState) bool {
		return idle(s) && s.LastFull.Run > first.LastFull.Run && s.LastFull.Counts.Done == 3
	})
	person := func(title string) {
		r.post("/_sim/people/dan@example.com", map[string]any{"title": title})
		r.signal(messages.SyncNow, messages.SyncNowInput{Person: "dan@example.com", By: "ana"})
	}
	suspended := func(is bool) {
		require.Eventually(r.t, func() bool {
			return slices.ContainsFunc(r.sim.State().People,
				func(p cloud.StatePerson) bool { return p.Name == "dan" && p.Suspended == is })
		}, time.Minute, 50*time.Millisecond)
	}
	person("Idler")
	suspended(true)
	person("Engineer")
	suspended(false)
	r.until(idle)
	r.ask("explain", messages.ReportInput{Org: org, Kind: messages.ReportExplain, Person: "dan@example.com",
		If: []string{"title=Idler"}})
	r.ask("governance", messages.ReportInput{Org: org, Kind: messages.ReportGovernance})
	r.end("rules")
}

// post changes the simulated organization by hand.
func (r *recordedOrg) post(path string, body any) {
	r.t.Helper()
	data, err := json.Marshal(body)
	require.NoError(r.t, err)
	answer, err := http.Post(r.url+path, "application/json", strings.NewReader(string(data)))
	require.NoError(r.t, err)
	require.NoError(r.t, answer.Body.Close())
	require.Less(r.t, answer.StatusCode, 300, answer.Status)
}

// The workflow that says which ledger the namespace belongs to is started, and cancelled.
func playLedger(r *recordedOrg) {
	_, err := r.client.ExecuteWorkflow(r.t.Context(), client.StartWorkflowOptions{
		ID: messages.LedgerWorkflow, TaskQueue: messages.QueueWorkflows,
		Memo: map[string]any{messages.LedgerMemo: "L1"},
	}, messages.Ledger, messages.LedgerInput{Ledger: "L1"})
	require.NoError(r.t, err)
	require.Eventually(r.t, func() bool { // until its first step was done
		found, err := r.client.DescribeWorkflowExecution(r.t.Context(), messages.LedgerWorkflow, "")
		return err == nil && found.GetWorkflowExecutionInfo().GetHistoryLength() >= 4
	}, time.Minute, 50*time.Millisecond)
	require.NoError(r.t, r.client.CancelWorkflow(r.t.Context(), messages.LedgerWorkflow, ""))
	require.Error(r.t, r.client.GetWorkflow(r.t.Context(), messages.LedgerWorkflow, "").Get(r.t.Context(), nil))
	r.save("ledger", messages.LedgerWorkflow)
}
