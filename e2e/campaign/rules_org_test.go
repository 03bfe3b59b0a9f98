package campaign

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// ruledOrganization is a small one with people of many kinds.
var ruledOrganization = organizationOf{flags: ruledFlags, model: newRuled}

// boss owns the key and some rules, and is in no source group. Those who always stay keep their place in payroll.
const boss = "boss@acme.example"

var stayers = []string{"s00@acme.example", "s01@acme.example", "s02@acme.example", "l00@labs.example"}

// ruledPolicy is what truth_test.go says a second time.
const ruledPolicy = `version: 1
organization: {name: %s, id: %s, key: "env:%s", keyOwner: ` + boss + `}
guard:
  adopt: auto
  rules: auto
  settle: 1s
  flapping: 0
  run: {removals: 100000, share: 100%%}
  target: {removals: 100000, share: 100%%}
  lastAccess: {people: 100000}
  window: {removals: 100000, share: 100%%}
sync: {feed: 5s}
ignore: ["*"]
protected: [{target: "group:payroll", always: [%s]}]
mappings:
  - {name: jira, from: ["eng-*", "ops-*"], to: ["default:jira/acme/user"]}
  - {name: confluence, from: ["eng-*", "sales-*", contractors], to: ["default:confluence/acme/user"]}
  - {name: wiki, from: ["eng-*", contractors, agency-staff], to: ["group:internal-wiki"]}
rules:
  - {name: builders, mode: enforce, when: in("eng-core") && !in("contractors"), give: ["group:builders"]}
  - {name: payroll, mode: enforce, when: department == "Finance" && title != "Intern", give: ["group:payroll"]}
  - {name: insiders only, owner: ` + boss + `, mode: enforce, when: external, deny: ["group:internal-wiki"]}
  - {name: restricted, owner: ` + boss + `, mode: enforce, when: title == "Restricted", deny: ["default:confluence/acme/user"]}
  - {name: idle, mode: enforce, when: 'inactive("90d", "jira")', give: ["group:jira-parked"]}
  - {name: parked, owner: ` + boss + `, mode: enforce, when: in("jira-parked"), deny: ["group:jira-extras"], after: 2s, grace: 1s}
  - {name: strangers, owner: ` + boss + `, mode: enforce, when: 'external && !(domain in ["partner.example", "freelance.example", "agency.example"])', suspend: true}
  - {name: leavers, owner: ` + boss + `, mode: enforce, when: managed && size(sources) == 0, suspend: true, after: 2s}
  - {name: back again, mode: enforce, when: managed && size(sources) > 0, restore: true}
  - {name: agency, owner: ` + boss + `, mode: enforce, when: domain == "agency.example" && size(sources) == 0, remove: true, after: 2s}
`

// rulesOrg is an organization with rules.
type rulesOrg struct {
	sim    *stack.Simulator
	idp    scim.Writer
	humans []constants
	scim   map[string]string // of those whom an identity provider keeps, by account
	source []source          // without their members
	seeded map[string]facts
	began  int // of the history
	seen   int
	notes  []testChange
	freed  map[string]bool // whom an admin restored in this schedule

	addresses *addressChanges
	handTaken map[[2]string]bool // account and group

	suspensions, restores, removals, taken, given writeCounts
	early                                         []string
	fresh                                         []string // what of that was not told yet
}

// writeCounts counts what Castellan wrote of one kind, and what of it nothing asked for.
type writeCounts struct {
	all   int
	wrong []string
}

func ruledFlags(t *testing.T) []string {
	t.Helper()
	now := time.Now()
	lately := map[string]string{"jira": now.Add(-3 * 24 * time.Hour).Format(time.RFC3339)}
	random := rand.New(rand.NewPCG(7, 0))
	file := cloud.OrgFile{
		Domains: ourDomains, People: []string{"boss", "vice"}, Admins: []string{"boss", "vice"},
		Profiles: map[string]cloud.OrgProfile{"boss": {LastActive: lately}, "vice": {LastActive: lately}},
	}
	groups := map[string][]string{"hr-all": {"vice"}}
	staff := []string{"eng-core", "eng-web", "ops-run", "ops-night", "sales-emea", "sales-amer", "hr-all"}
	add := func(n int, name, domain string, from ...string) {
		for i := range n {
			key := fmt.Sprintf("%s%02d@%s", name, i, domain)
			file.People = append(file.People, key)
			file.Profiles[key] = cloud.OrgProfile{
				Title: titles[random.IntN(len(titles))], Department: jobs[random.IntN(len(jobs))],
				LastActive: map[string]string{"jira": used(now, random)},
			}
			if from == nil {
				file.Invited = append(file.Invited, key)
			}
			for range min(len(from), 1+random.IntN(2)) {
				if g := from[random.IntN(len(from))]; !slices.Contains(groups[g], key) {
					groups[g] = append(groups[g], key)
				}
			}
		}
	}
	add(36, "s", "acme.example", staff...)
	add(6, "l", "labs.example", staff...)
	add(8, "c", "freelance.example", contract, contract, "eng-web")
	add(6, "a", agencyDomain, agency)
	add(5, "p", "partner.example")
	add(2, "x", "evil.example")
	add(2, "y", "mail.example")
	for _, name := range append(staff, contract, agency) {
		file.Groups = append(file.Groups, cloud.OrgGroup{Name: name, Members: groups[name]})
	}
	file.Local = []cloud.OrgGroup{
		// see newRuled
		{Name: jiraExtras, Members: file.People, Roles: []cloud.OrgRole{{App: "jira", Site: "acme", Role: "user"}}},
		{Name: insideWiki, Members: []string{"p00@partner.example", "s00@acme.example"}},
		{Name: builders, Members: []string{"p01@partner.example"}}, {Name: payroll}, {Name: jiraParked},
	}
	body, err := json.Marshal(file)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "organization.json")
	require.NoError(t, os.WriteFile(path, body, 0o600))
	return []string{"--org", path, "--seed", "11"}
}

var (
	titles = []string{"Engineer", "Engineer", "Intern", "Restricted", "Manager"}
	jobs   = []string{"Finance", "IT", "Sales"}
)

// used draws when somebody used Jira: lately, long ago, or never.
func used(now time.Time, random *rand.Rand) string {
	switch random.IntN(5) {
	case 0:
		return "never"
	case 1, 2:
		return now.Add(-120 * 24 * time.Hour).Format(time.RFC3339)
	}
	return now.Add(-3 * 24 * time.Hour).Format(time.RFC3339)
}

// newRuled learns what the simulator invented. Everybody starts in the group that opens Jira, so that it can be read of
// whom the search tells when they used it; then most are taken out.
func newRuled(ctx context.Context, s *stack.Stack) (orgModel, error) {
	w := &rulesOrg{sim: s.Simulator, scim: map[string]string{}, seeded: map[string]facts{}, freed: map[string]bool{},
		addresses: newAddresses(s.Simulator), handTaken: map[[2]string]bool{}}
	var err error
	if w.idp, err = s.Simulator.SCIM(); err != nil {
		return nil, err
	}
	if err := s.Simulator.Set(ctx, map[string]any{"activityGaps": 0.4}); err != nil {
		return nil, err
	}
	api, err := organization.New(organization.Options{
		BaseURL: s.Simulator.URL + "/admin", OrgID: s.Simulator.OrgID,
		Key: func(context.Context) (string, error) { return stack.OrgKey, nil },
	})
	if err != nil {
		return nil, err
	}
	page, err := api.SearchUsers(ctx, s.Simulator.DirectoryID,
		organization.UserQuery{Limit: 100, Expand: []string{organization.ExpandProductAccess}})
	if err != nil || page.Next != "" {
		return nil, fmt.Errorf("read everybody, all on one page: %w", err)
	}
	for _, u := range page.Items {
		_, domain, _ := strings.Cut(u.Email, "@")
		h := constants{account: u.AccountID, email: u.Email, domain: domain,
			managed: slices.Contains(ourDomains, domain),
			added:   u.AddedToOrg}
		f := facts{present: true, groups: map[string]bool{}, title: u.JobTitle, job: u.Department}
		for _, use := range u.ProductAccess {
			if strings.Contains(use.ResourceID, ":jira-software:") && !use.LastActive.IsZero() {
				h.shown = true
			}
		}
		if used, err := api.LastActive(ctx, u.AccountID, ""); err != nil {
			return nil, err
		} else if len(used.Apps) > 0 {
			f.used = used.Apps[0].LastActive
		}
		w.humans, w.seeded[h.account] = append(w.humans, h), f
		w.addresses.of[h.account] = h.email
	}
	var out []string
	for i, h := range w.humans {
		starts := w.seeded[h.account]
		starts.groups = map[string]bool{jiraExtras: false}
		if i%4 > 0 || h.idle(starts, time.Now()) {
			out = append(out, h.account)
		}
	}
	if err := s.Simulator.Expel(ctx, jiraExtras, out...); err != nil {
		return nil, err
	}
	state, err := s.Simulator.State(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range state.People {
		if p.SCIMUserID != "" {
			w.scim[p.AccountID] = p.SCIMUserID
		}
	}
	for _, g := range state.Groups {
		if g.Synced {
			w.source = append(w.source, source{name: g.Name, id: g.SCIMGroupID})
		}
		for _, m := range g.Members {
			if f, known := w.seeded[m]; known {
				f.groups[g.Name] = false
			}
		}
	}
	changes, err := s.Simulator.History(ctx)
	w.began, w.seen = len(changes), len(changes)
	return w, err
}

func (w *rulesOrg) policy() string {
	return fmt.Sprintf(ruledPolicy, org, w.sim.OrgID, stack.KeyVariable, strings.Join(stayers, ", "))
}

func (w *rulesOrg) begun(ctx context.Context) error { return w.look(ctx, 0) }

func (w *rulesOrg) pick(random *rand.Rand) []cloud.Fault {
	clear(w.freed)
	return pick(random, faultTargets{
		cut: [][]string{{"users.search"}, {"groups.search"}, {"users.search", "groups.search"}, {"domains.list"},
			{"last-active.get"}},
		stale: [][]string{{"users.search"}, {"users.search", "groups.search"}},
		reads: []string{"users.search", "groups.search", "role-assignments.list", "events.stream", "domains.list",
			"last-active.get"},
		writes: []string{"memberships.*", "users.suspend", "users.restore", "users.remove"},
		all: []string{"users.search", "groups.search", "memberships.*", "users.suspend", "users.restore",
			"users.remove", "events.stream",
			"domains.list", "last-active.get"},
		scarce: "last-active.get", more: 3,
	})
}

// lives are everybody's, as far as the history goes now.
func (w *rulesOrg) lives(ctx context.Context) (histories, error) {
	changes, err := w.sim.History(ctx)
	return live(w.seeded, changes[min(w.began, len(changes)):], w.notes, nil), err
}

// day returns some of what an identity provider and admins do.
func (w *rulesOrg) day(ctx context.Context, random *rand.Rand) error {
	for range 4 + random.IntN(8) {
		l, err := w.lives(ctx)
		if err != nil {
			return err
		}
		h := w.humans[random.IntN(len(w.humans))]
		if random.IntN(4) == 0 { // often one whom the policy names
			h = w.named(random)
		}
		if h.email == boss {
			if err := w.addresses.change(ctx, random, h.account); err != nil {
				return err
			}
			continue
		}
		if err := w.happen(ctx, random, h, l.now(h.account)); err != nil {
			return err
		}
	}
	return nil
}

// named is somebody whom the policy names by the address of the beginning.
func (w *rulesOrg) named(random *rand.Rand) constants {
	email := append([]string{boss}, stayers...)[random.IntN(1+len(stayers))]
	return w.humans[slices.IndexFunc(w.humans, func(h constants) bool { return h.email == email })]
}

// happen is one thing that happens to somebody.
func (w *rulesOrg) happen(ctx context.Context, random *rand.Rand, h constants, f facts) error {
	in := f.sources()
	slices.Sort(in)
	kept := w.scim[h.account] != ""
	switch what := random.IntN(27); {
	case !f.present: // an identity provider brings them back, sooner or later
		return w.bringBack(ctx, h)
	case what < 12 && kept && len(in) == 0, what < 4 && kept:
		return w.join(ctx, h, w.source[random.IntN(len(w.source))].name)
	case what < 7 && len(in) > 0:
		from := in[random.IntN(len(in))]
		if err := w.leave(ctx, h, from); err != nil || random.IntN(2) == 0 {
			return err
		}
		return w.join(ctx, h, w.source[random.IntN(len(w.source))].name) // between the two they may be in none
	case what < 11 && len(in) > 0:
		for _, from := range in {
			if err := w.leave(ctx, h, from); err != nil {
				return err
			}
		}
		return nil
	case what < 13:
		return w.promote(ctx, h, titles[random.IntN(len(titles))], jobs[random.IntN(len(jobs))])
	case what < 14 && h.shown:
		at := time.Now().Add(-120 * 24 * time.Hour)
		if random.IntN(2) == 0 {
			at = time.Now()
		}
		return w.use(ctx, h, at)
	case what < 16 && f.suspended:
		w.freed[h.account] = true
		return w.sim.Person(ctx, h.account, map[string]any{"suspended": false})
	// of who is restored and suspended again between two looks, nobody could tell by whom
	case what < 16 && !w.freed[h.account]:
		return w.sim.Person(ctx, h.account, map[string]any{"suspended": true})
	case what < 18:
		return w.invite(ctx, jiraExtras, h)
	case what < 20:
		return w.invite(ctx, targets[random.IntN(len(targets))], h)
	case what < 23:
		return w.take(ctx, random, h, f)
	}
	return w.addresses.change(ctx, random, h.account)
}

// invite gives by hand. Of what was taken by hand and then given by hand between two looks, nobody could tell whose it
// is.
func (w *rulesOrg) invite(ctx context.Context, group string, h constants) error {
	if w.handTaken[[2]string{h.account, group}] {
		return nil
	}
	return w.sim.Invite(ctx, group, h.account)
}

// take takes a target from somebody by hand: it comes back if something gives it, and only then.
func (w *rulesOrg) take(ctx context.Context, random *rand.Rand, h constants, f facts) error {
	held := slices.DeleteFunc(slices.Clone(targets), func(group string) bool { return !f.in(group) })
	if len(held) == 0 {
		return nil
	}
	group := held[random.IntN(len(held))]
	w.handTaken[[2]string{h.account, group}] = true
	return w.sim.Expel(ctx, group, h.account)
}

func (w *rulesOrg) group(name string) string {
	return w.source[slices.IndexFunc(w.source, func(s source) bool { return s.name == name })].id
}

func (w *rulesOrg) join(ctx context.Context, h constants, group string) error {
	if h.domain == agencyDomain {
		group = agency
	}
	_, err := w.idp.AddMembers(ctx, w.group(group), w.scim[h.account])
	return err
}

func (w *rulesOrg) leave(ctx context.Context, h constants, group string) error {
	_, err := w.idp.RemoveMembers(ctx, w.group(group), w.scim[h.account])
	return err
}

// bringBack provisions somebody anew who was removed: the account is the same, nothing else is.
func (w *rulesOrg) bringBack(ctx context.Context, h constants) error {
	if err := w.idp.DeleteUser(ctx, w.scim[h.account]); err != nil {
		return err
	}
	w.note(h, func(f *facts) { f.title, f.job = "", "" })
	u, err := w.idp.CreateUser(ctx,
		scim.User{UserName: w.addresses.of[h.account], Email: w.addresses.of[h.account], DisplayName: h.email,
			Active: true})
	if err != nil {
		return err
	}
	w.scim[h.account] = u.ID
	return w.join(ctx, h, agency)
}

func (w *rulesOrg) promote(ctx context.Context, h constants, title, job string) error {
	w.note(h, func(f *facts) { f.title, f.job = title, job })
	return w.sim.Person(ctx, h.account, map[string]any{"title": title, "department": job})
}

func (w *rulesOrg) use(ctx context.Context, h constants, at time.Time) error {
	w.note(h, func(f *facts) { f.used = at })
	return w.sim.Activity(ctx, "jira", "acme", at, h.account)
}

func (w *rulesOrg) note(h constants, change func(*facts)) {
	w.notes = append(w.notes, testChange{time.Now(), h.account, change})
}

// look judges what Castellan did since the last look.
func (w *rulesOrg) look(ctx context.Context, seed uint64) error {
	changes, err := w.sim.History(ctx)
	if err != nil {
		return err
	}
	byAccount := map[string]constants{}
	for _, h := range w.humans {
		byAccount[h.account] = h
	}
	changes = changes[w.began:]
	live(w.seeded, changes, w.notes, func(i int, past []snapshot) {
		if c := changes[i]; i >= w.seen-w.began && byCastellan(c) && !goes(changes[i:]) {
			w.judge(seed, byAccount[c.Account], c, past)
		}
	})
	w.seen = w.began + len(changes)
	return nil
}

// goes reports whether the first change is only a part of somebody's removal from the organization, which takes all
// that they have.
func goes(changes []cloud.Change) bool {
	first := changes[0]
	if first.Holds || first.What == cloud.WhatPresence {
		return false
	}
	for _, c := range changes[1:] {
		if c.Account != first.Account || c.Holds || c.Key != first.Key || c.At.Sub(first.At) > 5*time.Millisecond {
			return false
		}
		if c.What == cloud.WhatPresence {
			return true
		}
	}
	return false
}

// judge holds one change of Castellan's against what was true of the person.
func (w *rulesOrg) judge(seed uint64, h constants, c cloud.Change, past []snapshot) {
	was := past[len(past)-1]
	group := strings.TrimPrefix(c.What, "group:")
	kind, wait := &w.taken, time.Duration(0)
	var asks func(facts) bool
	switch {
	case c.What == cloud.WhatPresence:
		kind, wait, asks = &w.removals, leaverWait, h.leaves
	case c.What == cloud.WhatDirectory && !c.Holds:
		kind = &w.suspensions
		asks = func(f facts) bool { return h.suspends(f) && !h.spared(f) }
		if !h.stranger() {
			wait = leaverWait
		}
	case c.What == cloud.WhatDirectory:
		kind = &w.restores
		asks = func(f facts) bool { return h.returns(f) && !was.byHand }
	case c.Holds:
		kind = &w.given
		asks = func(f facts) bool { return h.gives(f, group, c.At) && !h.denies(f, group) }
	default:
		if group == jiraExtras {
			wait = parkedWait
		}
		asks = func(f facts) bool {
			return !h.stays(group) && (h.denies(f, group) || slices.Contains(targets, group) && group != jiraExtras &&
				was.groups[group] && !h.gives(f, group, c.At))
		}
	}
	kind.all++
	line := fmt.Sprintf("seed %d: %s: %s becomes %v at %s; %+v", seed, h.email, c.What, c.Holds,
		c.At.Format(time.RFC3339Nano), was.facts)
	switch {
	case !lately(past, c.At, asks):
		kind.wrong = append(kind.wrong, line)
		w.fresh = append(w.fresh, "without evidence: "+line)
	case wait > 0 && !before(past, c.At, wait, asks):
		w.early = append(w.early, line)
		w.fresh = append(w.fresh, "before its time: "+line)
	}
}

// right compares everybody with what the rules say of them, each on their own.
func (w *rulesOrg) right(ctx context.Context) error {
	l, err := w.lives(ctx)
	if err != nil {
		return err
	}
	state, err := w.sim.State(ctx)
	if err != nil {
		return err
	}
	if err := w.agrees(l, state); err != nil {
		return err
	}
	for _, h := range w.humans {
		if f := l.now(h.account); f.present {
			if err := w.rightOf(h, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *rulesOrg) rightOf(h constants, f facts) error {
	switch {
	case h.leaves(f):
		return fmt.Errorf("%s is still in the organization", h.email)
	case h.suspends(f) && !f.suspended && !h.spared(f):
		return fmt.Errorf("%s is not suspended, and a rule says so", h.email)
	case !h.suspends(f) && f.suspended && !f.byHand:
		return fmt.Errorf("%s is suspended, and no rule says so", h.email)
	}
	now := time.Now()
	for _, group := range targets {
		ours, in := f.groups[group]
		switch gives := h.gives(f, group, now); {
		case h.denies(f, group):
			if in {
				return fmt.Errorf("%s is in %s, and a rule denies it", h.email, group)
			}
		case gives && !in && !f.suspended:
			return fmt.Errorf("%s is not in %s, and should be", h.email, group)
		case !gives && in && ours && !h.stays(group):
			return fmt.Errorf("%s is in %s by Castellan, and nothing gives it", h.email, group)
		}
	}
	return nil
}

// agrees holds what the history comes to against the simulator's own state.
func (w *rulesOrg) agrees(l histories, state cloud.State) error {
	for _, p := range state.People {
		if l.past[p.AccountID] == nil {
			continue
		}
		f := l.now(p.AccountID)
		if f.present == p.Absent || f.suspended != p.Suspended {
			return fmt.Errorf("%s: the history says %+v, the state %+v", p.Email, f, p)
		}
	}
	for _, g := range state.Groups {
		for account := range l.past {
			if l.now(account).in(g.Name) != slices.Contains(g.Members, account) {
				return fmt.Errorf("%s in %s: the history and the state disagree", account, g.Name)
			}
		}
	}
	return nil
}

func (w *rulesOrg) tally() string {
	fresh := strings.Join(append([]string{""}, w.fresh...), "\n")
	w.fresh = nil
	return fmt.Sprintf("so far %d suspensions (%d wrongful), %d removals from the organization (%d), %d from groups (%d), %d restores (%d), %d additions (%d), %d too early%s",
		w.suspensions.all, len(w.suspensions.wrong), w.removals.all, len(w.removals.wrong), w.taken.all,
		len(w.taken.wrong),
		w.restores.all, len(w.restores.wrong), w.given.all, len(w.given.wrong), len(w.early), fresh)
}

func (w *rulesOrg) report(t *testing.T) {
	t.Helper()
	t.Logf("wrongful suspensions: %d of %d; wrongful removals from the organization: %d of %d; wrongful removals from groups: %d of %d",
		len(w.suspensions.wrong), w.suspensions.all, len(w.removals.wrong), w.removals.all, len(w.taken.wrong),
		w.taken.all)
	t.Logf("%s; taken by hand: %d people's targets", w.addresses, len(w.handTaken))
	t.Logf("wrongful restores: %d of %d; additions without evidence: %d of %d; changes before their rule's time: %d",
		len(w.restores.wrong), w.restores.all, len(w.given.wrong), w.given.all, len(w.early))
	require.Empty(t, w.suspensions.wrong, "suspensions without evidence")
	require.Empty(t, w.removals.wrong, "removals from the organization without evidence")
	require.Empty(t, w.taken.wrong, "removals from groups without evidence")
	require.Empty(t, w.restores.wrong, "restores without evidence")
	require.Empty(t, w.given.wrong, "additions without evidence")
}
