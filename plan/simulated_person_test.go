package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

const (
	site  = "ari:cloud:jira-software::site/1"
	wiki  = "ari:cloud:confluence::site/1"
	run   = "run-2"
	ana   = "ana-account"
	group = access.Entitlement("group:target-0")
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// outline is six source groups (s0…s5), five targets (t0…t4) that open apps in turn, and a group outside the policy.
func outline() access.Outline {
	o := access.Outline{Sites: []access.Site{
		{App: "jira-software", Site: "acme", Resource: site}, {App: "confluence", Site: "acme", Resource: wiki},
	}}
	for i := range 6 {
		o.Groups = append(o.Groups, access.Group{ID: fmt.Sprint("s", i), Name: fmt.Sprint("source-", i), Synced: true,
			Users: 10})
	}
	for i := range 5 {
		o.Groups = append(o.Groups, access.Group{ID: fmt.Sprint("t", i), Name: fmt.Sprint("target-", i),
			Modifiable: true, Users: 40})
		o.Roles = append(o.Roles, access.RoleAssignment{GroupID: fmt.Sprint("t", i),
			Resource: []string{site, wiki}[i%2], Role: "atlassian/user", Default: i < 2})
	}
	o.Groups = append(o.Groups, access.Group{ID: "other", Name: "other", Modifiable: true})
	o.Roles = append(o.Roles, access.RoleAssignment{GroupID: "other", Resource: wiki, Role: "atlassian/user"})
	return o
}

func parse(t require.TestingT, mappings string) *policy.Policy {
	p, err := policy.Parse("acme.yaml",
		[]byte("version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\nmappings:\n"+mappings))
	require.NoError(t, err)
	return p
}

func bind(t require.TestingT, mappings string) (*policy.Policy, *policy.Bound) {
	p := parse(t, mappings)
	b, _ := policy.Bind(p, outline())
	return p, b
}

// simulatedPerson is one person, the policy and the ledger's memory, moved on by apply.
type simulatedPerson struct {
	person   access.Person
	holdings []access.Holding
	rejected []access.Change
}

func (p *simulatedPerson) state() plan.State {
	return plan.State{Holdings: p.holdings, Rejected: p.rejected}
}

// apply does what the writer and the ledger do with a decision, with every write done.
func (p *simulatedPerson) apply(t require.TestingT, d plan.Decision) {
	for _, h := range d.Close {
		i := slices.IndexFunc(p.holdings, func(o access.Holding) bool { return o.Target == h.Target })
		require.GreaterOrEqual(t, i, 0, "only a current holding is closed")
		p.holdings = slices.Delete(p.holdings, i, i+1)
	}
	p.holdings = append(p.holdings, d.Open...)
	for _, l := range d.Lift {
		p.rejected = slices.DeleteFunc(p.rejected,
			func(r access.Change) bool { return r.Target == l.Target && r.Action == l.Action })
	}
	for _, c := range d.Changes {
		p.write(c)
	}
}

// write changes one membership and its holding.
func (p *simulatedPerson) write(c access.Change) {
	p.holdings = slices.DeleteFunc(p.holdings, func(h access.Holding) bool { return h.Target == c.Target })
	if c.Action == access.Remove {
		p.person.GroupIDs = slices.DeleteFunc(p.person.GroupIDs, func(id string) bool { return id == c.GroupID })
		if c.Target == access.OrgAdmin {
			p.person.PlatformRoles = nil
		}
		return
	}
	if c.Action == access.Add && c.Target == access.OrgAdmin {
		p.person.PlatformRoles = []string{access.RoleOrgAdmin}
	} else if c.Action == access.Add {
		p.person.GroupIDs = append(p.person.GroupIDs, c.GroupID)
	}
	p.holdings = append(p.holdings, access.Holding{
		Person: c.Person, Target: c.Target, GroupID: c.GroupID, Owned: true, Reasons: c.Reasons, Run: run, From: now,
	})
}

// drawMappings writes a policy of up to four mappings.
func drawMappings(t *rapid.T) string {
	mode := rapid.SampledFrom([]string{"owned", "all", "never"}).Draw(t, "mode")
	targets := []string{"group:target-0", "group:target-1", "group:target-2", "default:jira/acme/user",
		"default:confluence/acme/user", "role:org-admin"}
	var out strings.Builder
	for i := range rapid.IntRange(1, 4).Draw(t, "mappings") {
		from := rapid.SliceOfNDistinct(
			rapid.SampledFrom([]string{"source-0", "source-1", "source-2", "source-*", "*-4"}), 1, 3,
			rapid.ID).Draw(t, "from")
		to := rapid.SliceOfNDistinct(rapid.SampledFrom(targets), 1, 4, rapid.ID).Draw(t, "to")
		fmt.Fprintf(&out, "- {name: m%d, from: ['%s'], to: ['%s'], adopt: %t, removals: %s}\n", i,
			strings.Join(from, "','"), strings.Join(to, "','"), rapid.Bool().Draw(t, "adopt"), mode)
	}
	return out.String()
}

func drawPerson(t *rapid.T) access.Person {
	all := []string{"s0", "s1", "s2", "s3", "s4", "s5", "t0", "t1", "t2", "t3", "t4", "other"}
	p := access.Person{
		ID:               ana,
		Email:            "ana@acme.example",
		AccountType:      rapid.SampledFrom([]string{"atlassian", "atlassian", "atlassian", "app"}).Draw(t, "type"),
		MembershipStatus: rapid.SampledFrom([]string{"active", "active", "suspended"}).Draw(t, "status"),
		GroupIDs:         rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, 8, rapid.ID).Draw(t, "groups"),
	}
	if rapid.Bool().Draw(t, "admin") {
		p.PlatformRoles = []string{access.RoleOrgAdmin}
	}
	return p
}

// drawSimulatedPerson returns a person who has lived under the policy for a while: some holdings are true, some stale.
func drawSimulatedPerson(t *rapid.T, b *policy.Bound) *simulatedPerson {
	p := &simulatedPerson{person: drawPerson(t)}
	for _, target := range b.Targets {
		if rapid.Bool().Draw(t, "holding") {
			p.holdings = append(p.holdings, access.Holding{
				Person: ana, Target: target.Entitlement, GroupID: target.GroupID, Owned: rapid.Bool().Draw(t, "owned"),
				Run:     "run-1",
				Reasons: []access.Reason{{Kind: access.ReasonMapping, Name: "m0", Source: "source-0"}},
			})
		}
		if rapid.IntRange(0, 4).Draw(t, "rejected") == 0 {
			p.rejected = append(p.rejected, access.Change{
				Person: ana, Target: target.Entitlement,
				Action: rapid.SampledFrom([]access.Action{access.Add, access.Remove, access.Adopt}).Draw(t, "no to"),
			})
		}
	}
	return p
}

func benchPolicy() (string, access.Outline, []access.Person) {
	var o access.Outline
	var text strings.Builder
	for i := range 200 {
		o.Groups = append(o.Groups, access.Group{ID: fmt.Sprint("s", i), Name: fmt.Sprint("source-", i), Synced: true})
	}
	for i := range 10 {
		o.Groups = append(o.Groups, access.Group{ID: fmt.Sprint("t", i), Name: fmt.Sprint("target-", i),
			Modifiable: true})
		fmt.Fprintf(&text, "- {name: m%d, from: ['source-*%d'], to: ['group:target-%d']}\n", i, i, i)
	}
	var people []access.Person
	for i := range 1000 {
		people = append(people, access.Person{ID: fmt.Sprint("p", i), GroupIDs: []string{
			fmt.Sprint("s", i%200), fmt.Sprint("s", (i*7)%200), fmt.Sprint("s", (i*13)%200), fmt.Sprint("t", i%10),
			fmt.Sprint("t", (i*7)%10),
		}})
	}
	return text.String(), o, people
}

// BenchmarkDecide is Resolve and Decide for one person of five memberships, among 200 groups and 10 targets.
func BenchmarkDecide(bench *testing.B) {
	text, o, people := benchPolicy()
	b, _ := policy.Bind(parse(bench, text), o)
	states := make([]plan.State, len(people))
	for i, p := range people { // the ledger's memory after one good run
		states[i].Holdings = plan.Decide(b, p, plan.State{}, run, now).Open
	}
	bench.ReportAllocs()
	i := 0
	for bench.Loop() {
		plan.Decide(b, people[i%len(people)], states[i%len(people)], run, now)
		i++
	}
}
