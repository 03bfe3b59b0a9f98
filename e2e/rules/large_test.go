package rules_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const (
	manyRules    = 300
	manyMappings = 500
	mostPayload  = 2_000_000 // Temporal refuses more than 2 MiB
	mostStatus   = 200_000
)

// crowded returns an organization with a source group and a target for each mapping, and a target for each rule.
func crowded() cloud.OrgFile {
	file := cloud.OrgFile{People: []string{"ana", "bo"}, Admins: []string{"ana", "bo"},
		Profiles: map[string]cloud.OrgProfile{}}
	for i := range 200 {
		key := fmt.Sprintf("person%03d", i)
		file.People = append(file.People, key)
		file.Profiles[key] = cloud.OrgProfile{Title: "Engineer", Department: fmt.Sprintf("Department %03d", i)}
	}
	for i := range manyMappings {
		team, writers := file.People[2+i%200:3+i%200], []string(nil)
		if i%10 > 0 { // most are in place, and adopted
			writers = team
		}
		file.Groups = append(file.Groups,
			cloud.OrgGroup{Name: fmt.Sprintf("idp-team-of-people-%03d", i), Members: team})
		file.Local = append(file.Local,
			cloud.OrgGroup{Name: fmt.Sprintf("confluence-space-%03d-writers", i), Members: writers})
	}
	for i := range manyRules {
		file.Local = append(file.Local, cloud.OrgGroup{Name: fmt.Sprintf("restricted-area-%03d", i)})
	}
	return file
}

// crowdedPolicy has as many mappings and rules, each with the words that real ones have. Each rule asks for something;
// half of them only observe.
func crowdedPolicy(o *testOrg) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\norganization: {name: acme, id: %s, key: \"env:%s\"}\nguard: {adopt: auto, settle: 0s}\nsync: {feed: 5s, every: 24h}\nmappings:\n", o.Simulator.OrgID, stack.KeyVariable)
	for i := range manyMappings {
		fmt.Fprintf(&b, `  - name: writers of the space of team %03d
    description: Whoever is in the team writes in its space; the team lead answers for it. Ticket OPS-%04d.
    owner: team-lead-%03d@example.com
    from: [idp-team-of-people-%03d]
    to: ["group:confluence-space-%03d-writers"]
    adopt: true
`, i, i, i, i, i)
	}
	b.WriteString("rules:\n")
	for i := range manyRules {
		fmt.Fprintf(&b, `  - name: area %03d is for those of its department who work here as engineers
    description: Contract %d.4 with the works council. Ask People Operations for an exception, and name this rule.
    owner: ana@example.com
    mode: %s
    when: managed && department == "Department %03d" && title.startsWith("Eng") && !in("idp-team-of-people-%03d")
    give: ["group:restricted-area-%03d"]
`, i, i, []string{"observe", "enforce"}[i%2], i%200, (i+250)%manyMappings, i)
	}
	return b.String()
}

func TestLargePolicyFits(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, crowded())
	text := crowdedPolicy(o)
	out := o.starter("apply", o.file(text))
	require.Contains(t, out, fmt.Sprintf("%d mappings", manyMappings))
	held := o.until(func(s messages.OrgSyncState) bool {
		return s.Hold != nil && s.Running == nil && s.Pending.Full == "" && s.LastFull != nil
	})
	require.Equal(t, manyMappings, held.LastFull.Counts.Done)
	require.Equal(t, manyRules/2, held.Hold.Adds)
	o.requireSmall("while the rules are held", text)

	require.NoError(t, o.Decide(t.Context(), org, messages.ApprovePlan, held.Hold.Plan))
	state := o.until(stack.Idle)
	require.Equal(t, manyMappings+manyRules/2, state.LastRun.Counts.Done, "%+v", state.LastRun)

	before := o.last()
	o.cli("workflow", "signal", "--workflow-id", loop, "--name", "sync-now", "--input", `{"by":"ana@example.com"}`)
	state = o.until(func(s messages.OrgSyncState) bool { return stack.Idle(s) && s.LastFull.Run > before })
	require.Zero(t, state.LastFull.Counts.Done, "%+v", state.LastFull)
	o.requireSmall("after a verification", text)
}

// requireSmall measures what of a policy passes through Temporal.
func (o *testOrg) requireSmall(when, policy string) {
	o.t.Helper()
	var history struct {
		Events []json.RawMessage `json:"events"`
	}
	require.NoError(o.t, json.Unmarshal([]byte(o.cli("workflow", "show", "--workflow-id", loop, "--output", "json")),
		&history))
	require.NotEmpty(o.t, history.Events)
	largest, payload, kind, all := 0, 0, "", 0
	for _, e := range history.Events {
		var event any
		require.NoError(o.t, json.Unmarshal(e, &event))
		compact, err := json.Marshal(event)
		require.NoError(o.t, err)
		all += len(compact)
		if len(compact) > largest {
			largest, kind = len(compact), fmt.Sprint(event.(map[string]any)["eventType"])
		}
		payload = max(payload, largestPayload(event))
	}
	query := o.cli("workflow", "query", "--workflow-id", loop, "--type", "status", "--output", "json")
	var answer struct {
		QueryResult []json.RawMessage `json:"queryResult"`
	}
	require.NoError(o.t, json.Unmarshal([]byte(query), &answer))
	var status any
	require.NoError(o.t, json.Unmarshal(answer.QueryResult[0], &status))
	compact, err := json.Marshal(status)
	require.NoError(o.t, err)
	o.t.Logf("%s: policy file %d bytes; largest payload %d, largest event %d (%s), history of %d events %d; status %d",
		when, len(policy), payload, largest, kind, len(history.Events), all, len(compact))
	require.Less(o.t, payload, mostPayload)
	require.Less(o.t, largest, mostPayload)
	require.Less(o.t, len(compact), mostStatus)
}

// largestPayload returns the size of the largest payload within an event.
func largestPayload(in any) (most int) {
	switch in := in.(type) {
	case []any:
		for _, one := range in {
			most = max(most, largestPayload(one))
		}
	case map[string]any:
		if data, is := in["data"].(string); is && in["metadata"] != nil {
			return base64.StdEncoding.DecodedLen(len(data))
		}
		for _, one := range in {
			most = max(most, largestPayload(one))
		}
	}
	return most
}
