package rules_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// mailbox is a receiver of notices that looks, as each comes, who is suspended already.
type mailbox struct {
	*httptest.Server
	mu   sync.Mutex
	came []received
}

type received struct {
	messages.Notice
	at        time.Time
	suspended []string // e-mail addresses
}

// told starts the worker anew with a mailbox for its notices.
func (o *testOrg) told() *mailbox {
	o.t.Helper()
	m := &mailbox{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		one := received{at: time.Now()}
		state, err := o.Simulator.State(r.Context())
		if err == nil {
			err = json.NewDecoder(r.Body).Decode(&one.Notice)
		}
		if err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		for _, p := range state.People {
			if p.Suspended {
				one.suspended = append(one.suspended, p.Email)
			}
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		// else it is a repeat
		if !slices.ContainsFunc(m.came, func(before received) bool { return before.ID == one.ID }) {
			m.came = append(m.came, one)
		}
	}))
	o.t.Cleanup(m.Close)
	o.Worker.Stop(5 * time.Second)
	require.NoError(o.t, o.StartWorker("CASTELLAN_NOTIFY_WEBHOOK_URL="+m.URL))
	return m
}

// of returns the notices of a kind to somebody.
func (m *mailbox) of(kind, to string) (all []received) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.came {
		if n.Kind == kind && n.To == to {
			all = append(all, n)
		}
	}
	return all
}

func TestRulesActWhenTheirTimeHasCome(t *testing.T) {
	t.Parallel()
	file := company
	file.Foreign = map[string][]string{"lab": {"dan"}}
	o := start(t, file)
	mail := o.told()
	waiting := []string{
		`{name: waits, owner: ana@example.com, mode: enforce, when: department == "IT", deny: ["group:lab"], after: 3s}`,
		`{name: warned, owner: bo@example.com, mode: enforce, description: Ask your manager., when: in("contractors"), suspend: true, grace: 3s}`,
	}
	applied := time.Now()
	o.apply(consenting + rulesOf(waiting...))

	t.Log("after: the first look takes nothing; the rule acts by the clock alone")
	o.eventually(func() error {
		if o.members("lab") != "" {
			return fmt.Errorf("dan is in the lab")
		}
		return nil
	})
	lost := o.losses("dan", "group:lab")
	require.Len(t, lost, 1)
	require.GreaterOrEqual(t, lost[0].Sub(applied), 3*time.Second)

	t.Log("grace: first the notices, then the time, then the suspension")
	o.eventually(func() error {
		if !o.person("gil").Suspended {
			return fmt.Errorf("gil is not suspended")
		}
		return nil
	})
	suspended := o.losses("gil", cloud.WhatDirectory)
	require.Len(t, suspended, 1)
	for _, to := range []struct{ kind, name, says string }{
		{reconcile.NoticeRulePerson, "gil@example.com", `The rule "warned" of organization acme applies to you.`},
		{reconcile.NoticeRule, "bo@example.com", "gil@example.com"},
	} {
		came := mail.of(to.kind, to.name)
		require.Len(t, came, 1, to.name)
		require.Contains(t, came[0].Text, to.says)
		require.Contains(t, came[0].Text, "suspension on ")
		require.Empty(t, came[0].suspended, "nobody is suspended before the notice came")
		require.True(t, came[0].at.Before(suspended[0]))
	}
	require.Contains(t, mail.of(reconcile.NoticeRulePerson, "gil@example.com")[0].Text, "Ask your manager.")
	require.Empty(t, mail.of(reconcile.NoticeRulePerson, "dan@example.com"), "the other rule tells nobody")

	t.Log("during.from: it comes into force by the clock alone")
	o.until(stack.Idle)
	from := time.Now().Add(suite.Lasting(7 * time.Second)).UTC().Truncate(time.Second)
	opens := fmt.Sprintf(`{name: opens, mode: enforce, when: department == "Finance", give: ["group:vault"], during: {from: "%s"}}`, from.Format(time.RFC3339))
	o.apply(consenting + rulesOf(append(waiting, opens)...))
	o.eventually(func() error {
		if got := o.members("vault"); got != "finn" {
			return fmt.Errorf("in the vault are %q", got)
		}
		return nil
	})
	history := o.history()
	i := slices.IndexFunc(history, func(c cloud.Change) bool { return c.What == "group:vault" })
	require.False(t, history[i].At.Before(from), "given at %s, before %s", history[i].At, from)
	runs := answered[messages.ReportAnswer](o, "runs", org).Runs
	require.True(t, slices.ContainsFunc(runs,
		func(r messages.RunSummary) bool {
			return strings.Contains(r.Trigger, "a rule came into or went out of force")
		}), "%+v", runs)
	for _, r := range runs {
		require.NotContains(t, []string{"asked for", "on schedule"}, r.Trigger)
	}
	o.until(stack.Idle)
	require.Len(t, mail.of(reconcile.NoticeRulePerson, "gil@example.com"), 1, "each is told once")
}
