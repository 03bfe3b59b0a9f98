package campaign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/castellan-io/castellan/simulator/idp"
)

const (
	corp       = "corp"                   // the identity source
	corpSecret = "CASTELLAN_KEY_SIM_CORP" // variable of the worker
	staffCount = 40
	wideScope  = `department != "Board"`
	thinScope  = `department != "Board" && department != "Interns"`
)

// provisionedOrganization has its people from an identity provider, whose records Castellan keeps. Some had accounts
// before, from logins.
var provisionedOrganization = organizationOf{
	flags: func(t *testing.T) []string {
		file := cloud.OrgFile{Domains: []string{"acme.example"}, People: []string{"boss"}, Admins: []string{"boss"}}
		for n := range staffCount / 4 {
			file.People = append(file.People, name(n))
			file.Invited = append(file.Invited, name(n))
		}
		return []string{"--org", suite.OrgFile(t, file)}
	},
	model: newProvisioned,
}

func name(n int) string { return fmt.Sprintf("person%03d", n) }

// provisionedOrg is what the test knows of the people of the identity provider, and of their records.
type provisionedOrg struct {
	*stack.Stack
	idp    *idp.Directory
	url    string
	scope  string
	people []*human
	keys   int

	unapplied bool      // the policy with this scope
	spoilt    string    // what it says
	broken    bool      // the identity provider, in this schedule
	mended    time.Time // since when it is not

	records map[string]cloud.SCIMRecord // by id, as they were last seen
	seen    int                         // changes of the simulator's history
	of      map[string]*human           // by address, of now and of before

	deactivations, approved, accepted, kills int
	wrongful, unlinked, doubled, overwritten []string
}

// human is one person, whatever keys and addresses they have.
type human struct {
	key, address, title, department string
	first, last                     string
	enabled, there                  bool
	linked                          bool   // under this key, everything has been right once
	account                         string // of the record, once it has one
	nick                            string // in the record, by somebody else
	due                             []span // when the record should have been active
}

func newProvisioned(ctx context.Context, s *stack.Stack) (orgModel, error) {
	w := &provisionedOrg{Stack: s, idp: idp.New(idp.Options{}), scope: wideScope,
		records: map[string]cloud.SCIMRecord{}, of: map[string]*human{}}
	server := httptest.NewServer(w.idp.Okta())
	context.AfterFunc(ctx, server.Close)
	w.url = server.URL
	random := rand.New(rand.NewPCG(3, 3))
	for n := range staffCount {
		w.hire(&human{address: name(n) + "@acme.example", first: "Person", last: fmt.Sprint("No", n),
			title: titles[random.IntN(len(titles))], department: departments[random.IntN(len(departments))]})
	}
	for _, h := range w.people {
		for i := range h.due {
			h.due[i].from = time.Time{} // before the test
		}
	}
	return w, w.restart()
}

var departments = []string{"Works", "Finance", "Interns", "Board"}

// restart starts the worker anew, with what it needs for the identity provider.
func (w *provisionedOrg) restart() error {
	w.Worker.Kill()
	return w.StartWorker(corpSecret+"="+idp.DefaultToken,
		"CASTELLAN_SECRETS="+org+"=env:"+stack.KeyVariable+","+org+"=env:"+stack.SCIMKeyVariable,
		"CASTELLAN_SECRET_HOSTS="+org+"=env:"+corpSecret+"@"+strings.TrimPrefix(w.url, "http://"))
}

// policy has no limit on how many people are deactivated: the guard is not to hide what evidence alone must prevent.
func (w *provisionedOrg) policy() string {
	return fmt.Sprintf(`
version: 1
organization: {name: %s, id: %s, key: "env:%s", keyOwner: boss@acme.example}
sources:
  - {name: %s, kind: okta, url: "%s", secret: "env:%s", every: 5s, people: {scope: '%s'}}
provision: [{name: staff, from: [%s], directory: {id: %s, key: "env:%s"}}]
mappings: [{name: none, from: ["%s:none"], to: ["default:jira/acme/user"]}]
guard: {adopt: auto, settle: 2s, flapping: 0, deactivations: {people: 1000, share: 100%%}, window: {removals: 10000}}
sync: {feed: 5s}
`, org, w.Simulator.OrgID, stack.KeyVariable, corp, w.url, corpSecret, w.scope, corp,
		w.Simulator.SCIMDirectoryID, stack.SCIMKeyVariable, corp)
}

// begun has another identity provider write what the policy says nothing of, and watches the records from then on.
func (w *provisionedOrg) begun(ctx context.Context) error {
	for _, h := range w.people {
		if err := w.nickname(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// nickname has somebody else write the nickname of a record, if there is one.
func (w *provisionedOrg) nickname(ctx context.Context, h *human) error {
	if h.account == "" {
		return nil
	}
	h.nick = fmt.Sprintf("Nick of %s, %d", h.last, w.keys)
	w.keys++
	return w.Simulator.PatchRecord(ctx, h.account, "nickName", h.nick)
}

func (w *provisionedOrg) pick(random *rand.Rand) []cloud.Fault {
	faults := pick(random, faultTargets{
		cut:    [][]string{{"scim.users.list"}, {"users.search"}},
		stale:  [][]string{{"users.search"}},
		reads:  []string{"users.search", "groups.search", "events.stream"},
		writes: []string{"scim.users.create", "scim.users.patch"},
		all:    []string{"scim.users.*", "users.search", "groups.search"},
	})
	w.breakSource(random)
	return faults
}

// breakSource spoils what the identity provider says, most of the time.
func (w *provisionedOrg) breakSource(random *rand.Rand) {
	w.idp.Mend()
	w.broken, w.spoilt = random.IntN(3) > 0, "whole"
	if !w.broken {
		return
	}
	const users = "/api/v1/users"
	faults := []struct {
		name string
		idp.Fault
	}{
		{"outage", idp.Fault{Path: "/", Status: 503}},
		{"some 503", idp.Fault{Path: users, Status: 503, After: random.IntN(4), Times: 1 + random.IntN(3)}},
		{"some 429", idp.Fault{Path: users, Status: 429, Times: 3, Header: map[string]string{"Retry-After": "1"}}},
		{"empty", idp.Fault{Path: users, Body: "[]"}},
		{"once empty", idp.Fault{Path: users, Body: "[]", After: random.IntN(4), Times: 1 + random.IntN(3)}},
		{"short", idp.Fault{Path: users, Lost: 1 + random.IntN(12)}},
		{"short for a while", idp.Fault{Path: users, Lost: 1 + random.IntN(6), Times: 8 + random.IntN(8)}},
		{"once short", idp.Fault{Path: users, Lost: 1 + random.IntN(6), After: random.IntN(4), Times: 1 + random.IntN(6)}},
		{"cut", idp.Fault{Path: users, Cut: true, After: random.IntN(3)}},
		{"repeated", idp.Fault{Path: users, Repeat: true}},
		{"slow", idp.Fault{Path: users, Delay: time.Second}},
	}
	one := faults[random.IntN(len(faults))]
	w.idp.Break(one.Fault)
	w.spoilt = one.name
}

// look checks what became of every record and account since the last look.
func (w *provisionedOrg) look(ctx context.Context, seed uint64) error {
	changes, err := w.Simulator.History(ctx)
	if err != nil {
		return err
	}
	for _, c := range changes[w.seen:] {
		if c.What == cloud.WhatActive && !c.Holds {
			w.judge(seed, c)
		}
	}
	w.seen = len(changes)
	directory, err := w.Simulator.Directory(ctx)
	if err != nil {
		return err
	}
	of, gone := map[*human]string{}, maps.Clone(w.records)
	for _, r := range directory.Records {
		delete(gone, r.ID)
		h := w.of[strings.ToLower(r.Email)]
		if h == nil {
			continue // the owner of the key
		}
		if other, is := of[h]; is {
			w.doubled = append(w.doubled, fmt.Sprintf("seed %d: %s has the records %s and %s", seed, h.address, other, r.ID))
		}
		of[h] = r.ID
		w.records[r.ID] = r
		if r.AccountID == "" || h.account != "" && r.AccountID != h.account {
			w.unlinked = append(w.unlinked, fmt.Sprintf("seed %d: %s had account %s, and its record has %q", seed, h.address,
				h.account, r.AccountID))
			continue
		}
		h.account = r.AccountID
	}
	for id, r := range gone {
		w.unlinked = append(w.unlinked, fmt.Sprintf("seed %d: the record of %s was deleted", seed, r.Email))
		delete(w.records, id)
	}
	return nil
}

// judge holds one deactivation against what the source said, even if it was taken back.
func (w *provisionedOrg) judge(seed uint64, c cloud.Change) {
	w.deactivations++
	h := w.of[strings.ToLower(c.Email)]
	if h == nil {
		w.wrongful = append(w.wrongful, fmt.Sprintf("seed %d: %s was deactivated, whom the source never had", seed, c.Email))
		return
	}
	if slices.ContainsFunc(h.due, func(s span) bool {
		return s.from.Before(c.At.Add(-reach)) && (s.until.IsZero() || s.until.After(c.At))
	}) {
		w.wrongful = append(w.wrongful, fmt.Sprintf("seed %d: %s was deactivated at %s, and was to be active in %s", seed,
			h.address, c.At.Format(time.RFC3339Nano), h.due))
	}
}

// right says what is not as the identity provider says, once it says the truth again. It decides what is held, as
// somebody would who knows everybody.
func (w *provisionedOrg) right(ctx context.Context) error {
	if w.broken || w.mended.IsZero() {
		w.idp.Mend()
		w.broken, w.mended = false, time.Now()
	}
	if w.unapplied {
		if _, err := w.Apply(ctx, org, w.policy()); err != nil {
			return err
		}
		w.unapplied = false
	}
	if err := w.operate(ctx); err != nil {
		return err
	}
	if err := w.look(ctx, 0); err != nil {
		return err
	}
	state, err := w.Simulator.State(ctx)
	if err != nil {
		return err
	}
	accounts := map[string]cloud.StatePerson{}
	for _, p := range state.People {
		accounts[p.AccountID] = p
	}
	users, err := w.users(ctx)
	if err != nil {
		return err
	}
	for _, h := range w.people {
		if err := w.rightOf(h, accounts[h.account], users[h.account]); err != nil {
			return w.explain(ctx, err)
		}
		h.linked = h.linked || w.counts(h)
	}
	return nil
}

// explain adds to what is not right what ops are told.
func (w *provisionedOrg) explain(ctx context.Context, wrong error) error {
	s, err := w.Status(ctx, org)
	if err != nil {
		return wrong
	}
	told, err := json.Marshal(map[string]any{"provisions": s.Provisions, "due": s.Pending.Provisions,
		"hold": s.IdentityHold, "sources": s.Sources})
	return errors.Join(fmt.Errorf("%w: %s", wrong, told), err)
}

// users are the records as the API shows them, by account.
func (w *provisionedOrg) users(ctx context.Context) (map[string]scim.User, error) {
	client, err := w.Simulator.SCIM()
	if err != nil {
		return nil, err
	}
	users := map[string]scim.User{}
	for start := 1; start > 0; {
		page, err := client.Users(ctx, scim.UserQuery{Start: start})
		if err != nil {
			return nil, err
		}
		for _, u := range page.Items {
			users[u.AtlassianAccountID] = u
		}
		start = page.Next
	}
	return users, nil
}

// rightOf says what is not right of somebody.
func (w *provisionedOrg) rightOf(h *human, account cloud.StatePerson, record scim.User) error {
	active := w.counts(h)
	if h.nick != "" && record.NickName != h.nick {
		w.overwritten = append(w.overwritten,
			fmt.Sprintf("the nickname of %s is %q, and was %q", h.address, record.NickName, h.nick))
		h.nick = record.NickName
	}
	switch {
	case !active && (h.account == "" || account.Inactive && !record.Active):
		return nil
	case !active:
		return fmt.Errorf("%s left, and is active", h.address)
	case h.account == "" || account.Inactive || account.Email != h.address || record.Email != h.address:
		return fmt.Errorf("%s is to be active, and is %+v", h.address, account)
	case record.Title != h.title || record.Department != h.department || record.FamilyName != h.last:
		return fmt.Errorf("%s is %s, %s, %s in the source, and %+v", h.address, h.last, h.title, h.department, record)
	}
	return nil
}

// operate approves what is held and right, and accepts what the source lacks for good. What is wrong is left alone: a
// later run replaces it.
func (w *provisionedOrg) operate(ctx context.Context) error {
	s, err := w.Status(ctx, org)
	if err != nil {
		return err
	}
	for _, one := range s.Sources {
		if one.Suspect != "" && one.Read.After(w.mended) {
			w.accepted++
			_ = w.Update(ctx, org, messages.AcceptSource,
				messages.AcceptSourceInput{Source: one.Name, By: "campaign"}, nil)
		}
	}
	if s.IdentityHold == nil {
		return nil
	}
	answer, err := w.Ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportPlan, Lane: "identity"})
	if err != nil || answer.Plan == nil {
		return err
	}
	for _, line := range answer.Plan.Lines {
		if why := w.wrong(line); why != "" {
			return fmt.Errorf("the held plan %s is wrong: %s: %s", s.IdentityHold.Plan, line.Label(), why)
		}
	}
	w.approved++
	_ = w.Decide(ctx, org, messages.ApprovePlan, s.IdentityHold.Plan) // it may just have been replaced
	return nil
}

// wrong says why a line is not what should be.
func (w *provisionedOrg) wrong(line access.Change) string {
	i := slices.IndexFunc(w.people, func(h *human) bool {
		return len(line.Sources) > 0 && line.Sources[0] == corp+":"+h.key
	})
	if i < 0 {
		if h := w.of[strings.ToLower(line.Email)]; line.Action == access.Remove && (h == nil || !w.counts(h)) {
			return "" // somebody under a key of before
		}
		return "nobody has that key any more"
	}
	h := w.people[i]
	if line.Action == access.Remove == w.counts(h) {
		return fmt.Sprintf("whether they are to be active is %v", w.counts(h))
	}
	for _, e := range line.Edits {
		if (e.Attribute == "userName" || e.Attribute == "emails") && line.Action != access.Remove && e.To != h.address {
			return "their address is " + h.address
		}
	}
	return ""
}

// counts reports whether somebody's record is to be active.
func (w *provisionedOrg) counts(h *human) bool {
	return h.enabled && h.there && h.department != "Board" && (w.scope == wideScope || h.department != "Interns")
}

func (w *provisionedOrg) tally() string {
	return fmt.Sprintf("the source %s; %d deactivations so far, %d wrongful; %d plans approved", w.spoilt, w.deactivations,
		len(w.wrongful), w.approved)
}

func (w *provisionedOrg) report(t *testing.T) {
	t.Helper()
	t.Logf("%d people, %d records, %d deactivations, %d plans approved, %d suspect reads accepted, %d workers killed",
		len(w.people), len(w.records), w.deactivations, w.approved, w.accepted, w.kills)
	require.Empty(t, w.wrongful, "deactivated though the source says otherwise")
	require.Empty(t, w.unlinked, "records that lost their accounts")
	require.Empty(t, w.doubled, "people with several records")
	require.Empty(t, w.overwritten, "attributes that the policy does not map")
}
