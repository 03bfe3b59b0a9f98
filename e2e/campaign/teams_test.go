package campaign

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/castellan-io/castellan/simulator/idp"
)

const (
	teamCount   = 6
	memberCount = 30
	teamPrefix  = "team-"
	decider     = "campaign"
)

// teamFlags are of an organization whose people are to be those of a teamProvider.
func teamFlags(t *testing.T) []string {
	file := cloud.OrgFile{Domains: []string{"acme.example"}, People: []string{"boss"}, Admins: []string{"boss"}}
	for n := range memberCount {
		file.People = append(file.People, name(n))
		file.Invited = append(file.Invited, name(n))
	}
	return []string{"--org", suite.OrgFile(t, file)}
}

// teamStore is where an identity provider keeps its teams, with the keys of the people in each.
type teamStore interface {
	addTeam(key, name string, people []string) (made string) // the key that it really has
	deleteTeam(key string)
	renameTeam(key, name string)
	setTeam(key string, people []string)
}

// oktaStore keeps them in the fake of Okta.
type oktaStore struct{ *idp.Directory }

func (s oktaStore) addTeam(key, name string, people []string) string {
	s.AddGroup(idp.Group{ID: key, Name: name, People: people})
	return key
}

func (s oktaStore) deleteTeam(key string)               { s.DeleteGroup(key) }
func (s oktaStore) renameTeam(key, name string)         { s.RenameGroup(key, name) }
func (s oktaStore) setTeam(key string, people []string) { s.SetMembers(key, people...) }

// teamProvider is an identity provider, whose people all have accounts, and what the test knows of its groups, which
// are teams here.
type teamProvider struct {
	*stack.Stack
	idp      *idp.Directory // nil: it is not read
	store    teamStore
	spec     string   // of the source, in a policy
	env      []string // of the worker
	accounts []string
	keys     map[string]string // at the identity provider, by account
	emails   map[string]string
	absent   map[string]bool  // who is disabled or gone there, and joins nothing, by account
	teams    map[string]*team // by key, gone or not
	closed   map[string]bool  // names that no team gets again
	keyOf    func(n int) string
	serial   int
	random   *rand.Rand // of the schedule
	seed     uint64     // likewise
	changed  func()     // called after each change of a team

	spoilt string    // what the identity provider says
	broken bool      // the identity provider, in this schedule
	mended time.Time // since when it is not
	unread int       // reads of it that began before

	deletions, renames, emptied, kills, suspects int
}

// newTeamProvider makes one of everybody of the organization, with no teams yet.
func newTeamProvider(ctx context.Context, s *stack.Stack) (*teamProvider, error) {
	w := &teamProvider{Stack: s, random: rand.New(rand.NewPCG(5, 5)), keys: map[string]string{},
		emails: map[string]string{}, absent: map[string]bool{}, teams: map[string]*team{}, closed: map[string]bool{},
		keyOf: func(n int) string { return fmt.Sprintf("00g%05d", n) }, changed: func() {}}
	state, err := s.Simulator.State(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range state.People {
		if strings.HasPrefix(p.Email, "person") {
			w.keys[p.AccountID], w.emails[p.AccountID] = fmt.Sprintf("00u%05d", len(w.accounts)), p.Email
			w.accounts = append(w.accounts, p.AccountID)
		}
	}
	return w, nil
}

// newOktaProvider makes one that is read from the fake of Okta. secrets are more of those that the worker may read.
func newOktaProvider(ctx context.Context, s *stack.Stack, secrets ...string) (*teamProvider, error) {
	w, err := newTeamProvider(ctx, s)
	if err != nil {
		return nil, err
	}
	w.idp = idp.New(idp.Options{Page: 7})
	w.store = oktaStore{w.idp}
	server := httptest.NewServer(w.idp.Okta())
	context.AfterFunc(ctx, server.Close)
	for _, account := range w.accounts {
		key, email := w.keys[account], w.emails[account]
		w.idp.AddPerson(idp.Person{ID: key, Login: email, Email: email, First: "Person", Last: key, Status: idp.Active})
	}
	w.idp.AddGroup(idp.Group{ID: "00g-all", Name: "everyone", People: w.keysOf(w.accounts)})
	w.spec = fmt.Sprintf(`{name: %s, kind: okta, url: "%s", secret: "env:%s", every: 5s}`, corp, server.URL, corpSecret)
	allowed := ""
	for _, secret := range append([]string{stack.KeyVariable}, secrets...) {
		allowed += "," + org + "=env:" + secret
	}
	w.env = []string{corpSecret + "=" + idp.DefaultToken, "CASTELLAN_SECRETS=" + allowed[1:],
		"CASTELLAN_SECRET_HOSTS=" + org + "=env:" + corpSecret + "@" + strings.TrimPrefix(server.URL, "http://")}
	return w, nil
}

// createTeams creates the first teams.
func (w *teamProvider) createTeams() {
	for range teamCount {
		w.serial++
		w.create(fmt.Sprintf("%s%02d", teamPrefix, w.serial), w.some(w.random)...)
	}
}

// restart starts the worker anew, with what it needs for the identity provider.
func (w *teamProvider) restart() error {
	w.Worker.Kill()
	return w.StartWorker(w.env...)
}

// mend has the identity provider say the truth again, and reports whether it has been read since.
func (w *teamProvider) mend() (read bool) {
	if w.idp == nil {
		return true
	}
	if w.broken || w.mended.IsZero() {
		w.idp.Mend()
		w.broken, w.mended, w.unread = false, time.Now(), w.reads()
	}
	return w.reads() >= w.unread+2 // a read that began since then is over
}

// acceptSuspects accepts what a source that says the truth lacks.
func (w *teamProvider) acceptSuspects(ctx context.Context, s messages.OrgSyncState) {
	for _, one := range s.Sources {
		if one.Suspect != "" && !w.broken && one.Read.After(w.mended) {
			w.suspects++
			_ = w.Update(ctx, org, messages.AcceptSource,
				messages.AcceptSourceInput{Source: one.Name, By: decider}, nil)
		}
	}
}

func (w *teamProvider) who(account string) string {
	return strings.TrimSuffix(w.emails[account], "@acme.example")
}

func (w *teamProvider) failure(format string, args ...any) string {
	return fmt.Sprintf("seed %d: ", w.seed) + fmt.Sprintf(format, args...)
}

func stamp(at time.Time) string { return at.Format("15:04:05.000") }

// keysOf returns the keys at the identity provider of people.
func (w *teamProvider) keysOf(accounts []string) (keys []string) {
	for _, a := range accounts {
		keys = append(keys, w.keys[a])
	}
	return keys
}

// roster is who is in a group from an instant on, until the next one, by account.
type roster struct {
	from time.Time
	in   map[string]bool
}

// timeline is who was in a group when.
type timeline []roster

// now returns who is in it.
func (t timeline) now() map[string]bool {
	if len(t) == 0 {
		return nil
	}
	return t[len(t)-1].in
}

// set has somebody in it from an instant on, or no longer.
func (t *timeline) set(at time.Time, in bool, accounts ...string) {
	next := maps.Clone(t.now())
	if next == nil {
		next = map[string]bool{}
	}
	for _, a := range accounts {
		if in {
			next[a] = true
		} else {
			delete(next, a)
		}
	}
	*t = append(*t, roster{at, next})
}

// until returns when the i-th roster ended; the end, for the last one.
func (t timeline) until(i int, end time.Time) time.Time {
	if i+1 < len(t) && (end.IsZero() || t[i+1].from.Before(end)) {
		return t[i+1].from
	}
	return end
}

// lately reports whether somebody was in it, or was not, within reach of an instant. A group that ended, at end, had
// nobody in it and nobody outside of it afterwards.
func (t timeline) lately(account string, in bool, at, end time.Time) bool {
	return t.within(account, in, at.Add(-reach), at, end)
}

// within is lately, between two instants.
func (t timeline) within(account string, in bool, from, at, end time.Time) bool {
	for i, r := range t {
		until := t.until(i, end)
		if r.in[account] == in && !r.from.After(at) && (until.IsZero() || until.After(from)) {
			return true
		}
	}
	return false
}

// team is a group of the identity provider.
type team struct {
	key, name string
	names     []string // all that it ever had
	people    timeline
	gone      time.Time // when it was deleted; zero: it is there
	settled   bool      // everything was right of it once
}

func (t *team) there() bool { return t.gone.IsZero() }

// had reports whether somebody was in the team within reach of an instant; lacked, whether somebody was not while it
// was there.
func (t *team) had(account string, at time.Time) bool {
	return t.people.lately(account, true, at, t.gone)
}

func (t *team) lacked(account string, at time.Time) bool {
	return t.people.lately(account, false, at, t.gone)
}

// describe tells since when somebody was in the team or not.
func (t *team) describe(account string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v", t.key, t.names)
	for i, r := range t.people {
		if i == 0 || r.in[account] != t.people[i-1].in[account] {
			fmt.Fprintf(&b, ", %v from %s", r.in[account], stamp(r.from))
		}
	}
	if !t.there() {
		fmt.Fprintf(&b, ", gone at %s", stamp(t.gone))
	}
	return b.String()
}
