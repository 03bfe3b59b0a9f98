package grants_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/internal/activitytest"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// castle is a small organization: whoever is in eng holds vault and plain, whoever is in ops holds keys, where ed was
// put by hand. Nobody can be spared.
var castle = cloud.OrgFile{
	People:  []string{"ana", "bo", "cy", "di", "ed"},
	Admins:  []string{"ana"},
	Groups:  []cloud.OrgGroup{{Name: "eng", Members: []string{"ana"}}, {Name: "ops", Members: []string{"cy"}}},
	Local:   []cloud.OrgGroup{{Name: "vault"}, {Name: "keys"}, {Name: "plain"}},
	Foreign: map[string][]string{"keys": {"ed"}},
}

// castleAndBoss has one more, who approves and gets nothing.
func castleAndBoss() cloud.OrgFile {
	file := castle
	file.People = append(slices.Clone(castle.People), "boss")
	return file
}

const castlePolicy = `
version: 1
organization: {name: acme, id: ORG, key: "env:KEY"}
mappings:
  - {name: engineers, from: [eng], to: ["group:vault", "group:plain"]}
  - {name: operators, from: [ops], to: ["group:keys"]}
protected:
  - {target: "group:vault", minimum: 1}
  - {target: "group:keys", minimum: 2}
grants:
  - name: free
    targets: ["group:keys", "group:plain"]
    duration: {max: 1h}
    extend: {max: 365d}
    ahead: 1h
  - name: asked
    targets: ["group:vault"]
    duration: {max: 1h}
    extend: {max: 365d}
    ahead: 1h
    approval: {by: [boss@example.com]}
` + activitytest.OpenGuard

var (
	castleGroups  = []string{"vault", "keys", "plain"}
	castleFloors  = map[string]int{"vault": 1, "keys": 2}
	castleSources = map[string]string{"vault": "eng", "plain": "eng", "keys": "ops"}
)

// membership is one person in one group, both by name.
type membership struct{ name, group string }

// stressTest lends and takes in a castle while all sorts of things happen, and holds every change against what must
// always be so.
type stressTest struct {
	*activitytest.SimulatedOrg
	*rapid.T
	seen     int                   // changes of the simulator's history
	members  map[membership]bool   // by the history
	ours     map[membership]bool   // whether Castellan made it
	foreign  map[membership]bool   // whether somebody else did, beyond doubt
	read     map[membership]bool   // what a mapping gave when a verification last read it
	underway bool                  // a verification has read, and will write
	begun    []*activitytest.Round // rounds, for stragglers
	stories  []string              // what was done, for whoever reads a failure
	accounts map[string]string     // names by account id
	leases   map[string]membership // by the grant's id
}

func newStressTest(t *testing.T, r *rapid.T) *stressTest {
	o := activitytest.NewOf(t, castleAndBoss())
	s := &stressTest{
		SimulatedOrg: o, T: r, members: map[membership]bool{}, ours: map[membership]bool{},
		foreign: map[membership]bool{}, read: map[membership]bool{},
		accounts: map[string]string{}, leases: map[string]membership{},
	}
	for _, p := range o.Sim.State().People {
		s.accounts[p.AccountID] = p.Name
	}
	for _, g := range slices.Concat(castle.Groups, castle.Local) {
		for _, name := range slices.Concat(g.Members, castle.Foreign[g.Name]) {
			s.members[membership{name, g.Name}] = true
			s.foreign[membership{name, g.Name}] = castle.Foreign[g.Name] != nil
		}
	}
	o.Policy = activitytest.Must[reconcile.AdmitResult](o, o.Acts.Reconcile.Admit,
		o.AdmitIn(strings.Replace(castlePolicy, "ORG", o.Sim.Info().OrgID, 1))).Policy
	s.verify(nil)
	return s
}

// story notes a step.
func (s *stressTest) story(format string, args ...any) {
	s.stories = append(s.stories, s.Clock().Format("15:04:05 ")+fmt.Sprintf(format, args...))
	s.Log(s.stories[len(s.stories)-1])
}

// pick draws a membership.
func (s *stressTest) pick() membership {
	return membership{rapid.SampledFrom(castle.People).Draw(s.T, "person"),
		rapid.SampledFrom(castleGroups).Draw(s.T, "group")}
}

// mapped says that a source group gives it.
func (s *stressTest) mapped(m membership) bool {
	return s.members[membership{m.name, castleSources[m.group]}]
}

// lent says that a grant that is in force gives it.
func (s *stressTest) lent(m membership, at time.Time) bool {
	for id, of := range s.leases {
		if of == m && s.StoredGrant(access.Grant{ID: id}).InForce(at) {
			return true
		}
	}
	return false
}

// holders counts who holds a group.
func (s *stressTest) holders(group string) (n int) {
	for _, name := range castle.People {
		if s.members[membership{name, group}] {
			n++
		}
	}
	return n
}

// check goes through what changed since it was last called.
func (s *stressTest) check() {
	history := s.Sim.History()
	for _, c := range history[s.seen:] {
		m := membership{s.accounts[c.Account], strings.TrimPrefix(c.What, "group:")}
		s.members[m] = c.Holds
		switch {
		case c.Key == "":
			s.ours[m], s.foreign[m] = false, s.foreign[m] && c.Holds
		case c.Holds:
			s.ours[m] = true
			require.True(s, s.mapped(m) || s.read[m] || s.lent(m, c.At), "%v was given for no reason", m)
		default:
			s.ours[m] = false
			require.False(s, s.mapped(m), "%v was taken, and a mapping gives it", m)
			require.False(s, s.lent(m, c.At), "%v was taken, and a grant gives it", m)
			require.False(s, s.foreign[m], "%v was taken, and somebody else gave it", m)
			require.GreaterOrEqual(s, s.holders(m.group), castleFloors[m.group], "%v was taken beyond the floor", m)
		}
	}
	s.seen = len(history)
}
