package grants_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

const approvedGrants = `
grants:
  - name: admins
    targets: ["role:org-admin"]
    duration: {max: 1h}
    approval: {by: [ana@example.com, bo@example.com]}
    extend: {max: 2h}
  - {name: site, targets: ["group:site-admins"], duration: {max: 1h}}
  - name: vault
    targets: ["group:vault"]
    duration: {max: 1h}
    approval: {by: [ana@example.com], codes: true}
`

// mailbox is a receiver of notices that keeps the codes that approvers are sent, by request.
type mailbox struct {
	*httptest.Server
	mu    sync.Mutex
	codes map[string]string
}

func openMailbox(t *testing.T) *mailbox {
	t.Helper()
	m := &mailbox{codes: map[string]string{}}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n messages.Notice
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if n.Code != "" {
			m.codes[n.Grant] = n.Code
		}
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *mailbox) code(request string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.codes[request] == "" {
		return "", fmt.Errorf("no code came for %s", request)
	}
	return m.codes[request], nil
}

// as types an ops command in somebody's name.
func (o *testOrg) as(name string, args ...string) (string, error) {
	o.t.Helper()
	return o.Starter(o.t.Context(), append(args, "--by", name+"@example.com")...)
}

// typed is as for what must work; it returns the answer.
func (o *testOrg) typed(name string, args ...string) (answer messages.GrantAnswer) {
	o.t.Helper()
	out, err := o.as(name, append(args, "--json")...)
	require.NoError(o.t, err)
	require.NoError(o.t, json.Unmarshal([]byte(out), &answer))
	require.Len(o.t, answer.Grants, 1, out)
	return answer
}

// holds reports whether somebody really holds something now.
func (o *testOrg) holds(name, what string) bool {
	o.t.Helper()
	spans := o.held(name, what)
	return len(spans) > 0 && spans[len(spans)-1][1].IsZero()
}

func TestGrantsByTheOpsCommand(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, approvedGrants)
	mail := openMailbox(t)
	o.Worker.Stop(5 * time.Second)
	require.NoError(t, o.StartWorker("CASTELLAN_NOTIFY_WEBHOOK_URL="+mail.URL,
		"CASTELLAN_NOTIFY_WEBHOOK_SECRET=correct horse battery"))

	t.Log("a grant is asked for, and waits")
	_, err := o.Starter(t.Context(), "grant", "carol@example.com", "role:org-admin")
	require.ErrorContains(t, err, "CASTELLAN_BY", "a user name of this machine is nobody's")
	_, err = o.as("carol", "grant", "carol@example.com", "role:org-admin", "--for", "2h", "--reason", "a patch")
	require.ErrorContains(t, err, "ask for at most 1h")
	_, err = o.as("carol", "grant", "carol@example.com", "org-admin", "--reason", "a patch")
	require.ErrorContains(t, err, "not an entitlement")
	out, err := o.as("carol", "grant", "carol@example.com", "role:org-admin", "--for", "30m", "--reason", "a patch",
		"--id", "r1", "--wait")
	require.NoError(t, err)
	require.Contains(t, out, "request r1 waits until")
	require.Contains(t, out, "starter approve r1")
	out, err = o.as("carol", "grants", "--open")
	require.NoError(t, err)
	require.Regexp(t, `r1 +carol@example.com +role:org-admin +waits for approval \(0 of 1\)`, out)

	t.Log("it is approved by who may, once")
	_, err = o.as("carol", "approve", "r1")
	require.ErrorContains(t, err, "nobody may decide on a grant for themselves")
	_, err = o.as("dan", "approve", "r1")
	require.ErrorContains(t, err, "only the approvers")
	_, err = o.as("ana", "approve", "r0")
	require.ErrorContains(t, err, `no request "r0" is known`)
	require.False(t, o.holds("carol", "role:org-admin"))
	require.Contains(t, o.typed("ana", "approve", "r1", "--note", "CHG-1").Message,
		"approved: carol@example.com holds role:org-admin")
	again := o.typed("ana", "approve", "r1")
	require.Len(t, again.Grants[0].Approvals, 1, "saying it again changes nothing")
	answer := o.typed("carol", "grant", "carol@example.com", "role:org-admin", "--for", "30m", "--reason", "a patch",
		"--id", "r1", "--wait")
	require.Contains(t, answer.Message, "given: carol@example.com holds role:org-admin")
	require.Equal(t, again.Grants[0].Until, answer.Grants[0].Until)
	require.True(t, o.holds("carol", "role:org-admin"))

	t.Log("it is extended, and ended early with its extension")
	_, err = o.as("dan", "extend", "dan@example.com", "role:org-admin", "--for", "10m", "--reason", "more")
	require.ErrorContains(t, err, "has no active grant")
	longer := o.typed("carol", "extend", "carol@example.com", "role:org-admin", "--for", "10m", "--reason", "more",
		"--id", "r2")
	require.Equal(t, "r1", longer.Grants[0].Renews)
	require.True(t, longer.Grants[0].From.Equal(answer.Grants[0].Until))
	_, err = o.as("carol", "revoke", "carol@example.com")
	require.ErrorContains(t, err, "--request REQUEST")
	out, err = o.as("carol", "revoke", "carol@example.com", "role:org-admin", "--reason", "done")
	require.NoError(t, err)
	require.Contains(t, out, "ended")
	o.until(answer.Workflow, is(messages.GrantOver))
	require.False(t, o.holds("carol", "role:org-admin"))
	require.Len(t, o.held("carol", "role:org-admin"), 1)

	t.Log("what is over says so")
	// the workflow ends a moment after it is over
	require.NoError(t, stack.Eventually(t.Context(), patience, func() error {
		_, err := o.as("bo", "approve", "r1")
		if err == nil || !strings.Contains(err.Error(), "it is over: ended early by carol@example.com") {
			return fmt.Errorf("the answer is %w", errors.Join(err))
		}
		return nil
	}))

	t.Log("another is denied")
	o.typed("dan", "grant", "dan@example.com", "role:org-admin", "--reason", "curious", "--id", "r3")
	require.Contains(t, o.typed("bo", "deny", "r3", "--note", "no").Message, "denied")
	out, err = o.as("bo", "grants", "--person", "dan@example.com", "--target", "role:org-admin")
	require.NoError(t, err)
	require.Contains(t, out, "denied by bo@example.com")
	require.NotContains(t, out, "r1")

	t.Log("a code is wanted where the policy says so, and read from standard input")
	o.typed("eve", "grant", "eve@example.com", "group:vault", "--for", "10m", "--reason", "audit", "--id", "r4")
	var code string
	require.NoError(t, stack.Eventually(t.Context(), patience,
		func() (err error) { code, err = mail.code("r4"); return err }))
	_, err = o.as("ana", "approve", "r4", "--code", "AAAAA-BBBBB")
	require.ErrorContains(t, err, "the code is not the one")
	guessedAt := code // a wrong one may be a slip of it: another is sent
	require.NoError(t, stack.Eventually(t.Context(), patience, func() (err error) {
		if code, err = mail.code("r4"); err == nil && code == guessedAt {
			err = errors.New("no other code came")
		}
		return err
	}))
	out, err = o.piped("", "approve", "r4", "--by", "ana@example.com", "--code", "-")
	require.ErrorContains(t, err, "no code came from standard input", out)
	out, err = o.piped(strings.ToLower(code)+"\n", "approve", "r4", "--by", "ana@example.com", "--code", "-")
	require.NoError(t, err, out)
	require.Contains(t, out, "approved: eve@example.com")
	require.NotContains(t, out, code)

	t.Log("one ends by itself, and the hours are summed up")
	answer = o.typed("finn", "grant", "finn@example.com", "group:site-admins", "--for",
		suite.Lasting(15*time.Second).String(), "--reason", "a look", "--id", "r5", "--wait")
	require.False(t, answer.Grants[0].ProvisionedAt.IsZero())
	o.until(answer.Workflow, is(messages.GrantOver))
	require.False(t, o.holds("finn", "group:site-admins"))
	out, err = o.as("finn", "grants", "--hours", "--since", time.Now().AddDate(0, 0, -40).Format(time.DateOnly))
	require.NoError(t, err)
	require.Regexp(t, `\d{4}-\d\d +finn@example.com +group:site-admins +\S+s +1\n`, out)
	require.Contains(t, out, "hours of privilege since")
	page := o.listed("--limit", "2")
	require.Len(t, page.Grants, 2)
	require.Equal(t, "r5", page.Grants[0].ID)
	require.Equal(t, "r3", o.listed("--limit", "2", "--after", page.Next).Grants[0].ID)
}

// piped types an ops command with something on its standard input.
func (o *testOrg) piped(in string, args ...string) (string, error) {
	cmd := exec.CommandContext(o.t.Context(), filepath.Join(o.Bin, "starter"), args...)
	cmd.Env = append(cmd.Environ(), o.Temporal.Env()...)
	cmd.Stdin = strings.NewReader(in)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, &out)
	}
	return out.String(), nil
}

func (o *testOrg) listed(flags ...string) (answer messages.ReportAnswer) {
	o.t.Helper()
	out, err := o.as("ana", append([]string{"grants", "--json"}, flags...)...)
	require.NoError(o.t, err)
	require.NoError(o.t, json.Unmarshal([]byte(out), &answer))
	return answer
}

const twoApprovals = `
grants:
  - name: admins
    targets: ["role:org-admin"]
    duration: {max: 1h}
    approval: {by: [ana@example.com, bo@example.com, dan@example.com], count: 2}
    extend: {max: 2h}
  - {name: site, targets: ["group:site-admins"], duration: {max: 1h}}
`

const loop = "org-sync:" + org

// say sends an update with the plain Temporal CLI; the error holds what it printed.
func (o *testOrg) say(workflow, name, input string) (string, error) {
	o.t.Helper()
	return o.CLI(o.t.Context(), "workflow", "update", "execute", "--workflow-id", workflow, "--name", name,
		"--input", input)
}

func (o *testOrg) signal(workflow, name, input string) {
	o.t.Helper()
	_, err := o.CLI(o.t.Context(), "workflow", "signal", "--workflow-id", workflow, "--name", name, "--input", input)
	require.NoError(o.t, err)
}

// found waits until the list shows a workflow to a query.
func (o *testOrg) found(workflow, query string) {
	o.t.Helper()
	require.NoError(o.t, stack.Eventually(o.t.Context(), patience, func() error {
		out, err := o.CLI(o.t.Context(), "workflow", "list", "--query", query)
		if err == nil && !strings.Contains(out, workflow) {
			return fmt.Errorf("%s is not listed:\n%s", workflow, out)
		}
		return err
	}))
}

func TestGrantsByTheTemporalCLI(t *testing.T) {
	t.Parallel()
	o := start(t, twoApprovals)
	workflow := messages.GrantID(org, access.OrgAdmin, o.person("carol").AccountID)

	t.Log("asked for by an update, it waits and is found")
	for _, wrong := range []struct{ input, says string }{
		{`{"person":"carol@example.com","target":"role:org-admin","duration":"30m","reason":"a patch"}`,
			"requestedBy is missing"},
		{`{"person":"carol@example.com","target":"role:org-admin","duration":"3h","reason":"a patch","requestedBy":"carol@example.com"}`, "too long"},
		{`{"person":"carol@example.com","target":"role:org-admin","duration":1800,"requestedBy":"carol@example.com"}`,
			"a duration is written as text"},
		{`{"person":"carol@example.com","target":"role:org-admin","for":"1h","requestedBy":"carol@example.com"}`,
			"for"},
		{`{"person":"nobody@example.com","target":"role:org-admin","reason":"a patch","requestedBy":"carol@example.com"}`, "nobody@example.com"},
	} {
		_, err := o.say(loop, messages.Grant, wrong.input)
		require.ErrorContains(t, err, wrong.says)
	}
	out, err := o.say(loop, messages.Grant,
		`{"person":"carol@example.com","target":"role:org-admin","duration":"30m","reason":"a patch","requestedBy":"carol@example.com","requestID":"r1"}`)
	require.NoError(t, err)
	require.Contains(t, out, "request r1 waits until")
	o.found(workflow, `CastellanTarget="role:org-admin" AND CastellanState="waiting"`)
	o.found(workflow, `CastellanOrg="acme" AND CastellanPerson="carol@example.com"`)

	t.Log("signals with bad input are recorded, and change nothing")
	for _, bad := range []struct{ name, input, why string }{
		{messages.Approve, `"yes"`, "the input is not valid"},
		{messages.Approve, `{"by":7}`, "the input is not valid"},
		{messages.Approve, `{"request":"r1","by":"ana@example.com","force":true}`, "force"},
		{messages.Approve, `{"request":"r1"}`, "by is missing"},
		{messages.Approve, `{"request":"r7","by":"ana@example.com"}`, "r7"},
		{messages.Approve, `{"request":"r1","by":"carol@example.com"}`, "nobody may decide on a grant for themselves"},
		{messages.Extend, `{"requestedBy":"carol@example.com","duration":"1h"}`, "that could be extended"},
		{messages.Revoke, `{"requestedBy":"carol@example.com","target":"group:vault"}`,
			"this workflow is about role:org-admin"},
		{"aprove", `{}`, "there is no such signal"},
	} {
		o.signal(workflow, bad.name, bad.input)
		state := o.until(workflow, func(s messages.GrantState) bool {
			n := len(s.Refused)
			return n > 0 && s.Refused[n-1].Name == bad.name && strings.Contains(s.Refused[n-1].Why, bad.why)
		})
		require.Equal(t, messages.GrantWaiting, state.State)
		require.Len(t, state.Grants, 1)
		require.Empty(t, state.Grants[0].Approvals)
	}
	require.Len(t, o.until(workflow, is(messages.GrantWaiting)).Refused, 9, "nothing else is refused")
	_, err = o.say(workflow, messages.Approve, `{"request":"r1"}`)
	require.ErrorContains(t, err, "by is missing")
	require.Empty(t, o.held("carol", "role:org-admin"))

	t.Log("two approvals in one instant, of one person and of two, count once each")
	errs := atOnce(func(string) error {
		_, err := o.say(workflow, messages.Approve, `{"request":"r1","by":"ana@example.com"}`)
		return err
	}, "first", "second")
	require.Equal(t, []error{nil, nil}, errs)
	state := o.until(workflow, func(s messages.GrantState) bool {
		return len(s.Grants) == 1 &&
			len(s.Grants[0].Approvals) > 0
	})
	require.Len(t, state.Grants[0].Approvals, 1)
	require.Equal(t, messages.GrantWaiting, state.State)
	errs = atOnce(func(by string) error {
		_, err := o.say(workflow, messages.Approve, `{"request":"r1","by":"`+by+`@example.com"}`)
		return err
	}, "bo", "dan")
	require.True(t, (errs[0] == nil) != (errs[1] == nil), "one of them decides: %v", errs)
	require.ErrorContains(t, errors.Join(errs...), "granted", "the other one is told how it was decided")
	state = o.until(workflow, is(messages.GrantActive))
	require.Len(t, state.Grants[0].Approvals, 2)
	require.Len(t, o.held("carol", "role:org-admin"), 1)
	require.True(t, o.holds("carol", "role:org-admin"))
	o.found(workflow, `CastellanTarget="role:org-admin" AND CastellanState="active"`)
	o.found(workflow, `CastellanState="active" AND CastellanUntil < "`+
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"`)

	t.Log("it is extended by a signal, and ended by one to the organization's loop")
	o.signal(workflow, messages.Extend, `{"duration":"10m","reason":"more","requestedBy":"carol@example.com"}`)
	o.until(workflow, func(s messages.GrantState) bool { return len(s.Grants) == 2 })
	o.signal(loop, messages.Revoke,
		`{"person":"carol@example.com","target":"role:org-admin","reason":"done","requestedBy":"bo@example.com"}`)
	o.until(workflow, is(messages.GrantOver))
	require.False(t, o.holds("carol", "role:org-admin"))

	t.Log("and another is asked for by a signal and ended by its own")
	o.signal(loop, messages.Grant,
		`{"person":"eve@example.com","target":"group:site-admins","duration":"30m","reason":"INC-4711","requestedBy":"bo@example.com"}`)
	site := messages.GrantID(org, "group:site-admins", o.person("eve").AccountID)
	o.found(site, `CastellanTarget="group:site-admins" AND CastellanState="active"`)
	require.True(t, o.holds("eve", "group:site-admins"))
	o.signal(site, messages.Revoke, `{"reason":"done","requestedBy":"eve@example.com"}`)
	o.until(site, is(messages.GrantOver))
	require.False(t, o.holds("eve", "group:site-admins"))
	require.Empty(t, o.held("hana", "group:site-admins"), "whom somebody else put there stays")
}

// atOnce does the same for each of some names at the same time.
func atOnce(do func(string) error, names ...string) []error {
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { errs[i] = do(name) })
	}
	all.Wait()
	return errs
}
