package campaign

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/notify"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const (
	feedSecret = "CASTELLAN_KEY_SIM_FEED" // variable of the worker
	feedKey    = "feed-secret-0123456789-0123456789"
)

var postedTeams = []string{"team-a", "team-b", "team-c", "team-d"}

// postedOrganization has groups that follow those of a feed: what is posted about people is all that is known of them.
var postedOrganization = organizationOf{flags: followedOrganization.flags, model: newPosted}

// postedOrg is what the test knows of the people of a feed.
type postedOrg struct {
	*stack.Stack
	address string
	people  []*poster
	of      map[string]*poster // by account
	silent  bool               // nobody posts in this schedule
	seed    uint64
	seen    int // changes of the simulator's history

	states                                          map[string]int // answers
	additions, removals, silences, held, lost, dead int
	wrongful, strangers                             []string
}

// poster is somebody of whom the feed posts.
type poster struct {
	key, account, address string
	teams                 []string  // now, whether it was posted or not
	made                  []posting // all statements, as they were made
	sent                  []posting // as they were sent, and may count from then on
	waiting               []posting // they are late
}

// posting is a statement, and when it was sent.
type posting struct {
	at, sent time.Time
	teams    []string
}

func newPosted(ctx context.Context, s *stack.Stack) (orgModel, error) {
	w := &postedOrg{Stack: s, of: map[string]*poster{}, states: map[string]int{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w.address = l.Addr().String()
	state, err := s.Simulator.State(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range state.People {
		if strings.HasPrefix(p.Email, "person") {
			one := &poster{key: "k-" + p.AccountID, account: p.AccountID, address: p.Email}
			w.people = append(w.people, one)
			w.of[p.AccountID] = one
		}
	}
	if err := l.Close(); err != nil {
		return nil, err
	}
	return w, w.restart()
}

func (w *postedOrg) restart() error {
	w.Worker.Kill()
	return w.StartWorker(feedSecret+"="+feedKey, "CASTELLAN_INBOX_ADDR="+w.address,
		"CASTELLAN_SECRETS="+org+"=env:"+stack.KeyVariable+","+org+"=env:"+feedSecret)
}

func (w *postedOrg) policy() string {
	return fmt.Sprintf(`
version: 1
organization: {name: %s, id: %s, key: "env:%s", keyOwner: boss@acme.example}
sources: [{name: posts, kind: feed, secret: "env:%s"}]
groups: [{name: teams, from: ["posts:%s*"], create: true}]
guard:
  adopt: auto
  settle: 2s
  flapping: 0
  run: {removals: 100000, share: 100%%}
  target: {removals: 100000, share: 100%%}
  lastAccess: {people: 100000}
  window: {removals: 100000, share: 100%%}
  source: {share: 100%%}
sync: {feed: 5s}
`, org, w.Simulator.OrgID, stack.KeyVariable, feedSecret, teamPrefix)
}

// begun has the first statement of everybody posted.
func (w *postedOrg) begun(ctx context.Context) error {
	random := rand.New(rand.NewPCG(7, 7))
	for _, p := range w.people {
		p.teams = w.someTeams(random)
		if err := w.post(ctx, p, w.state(p)); err != nil {
			return err
		}
	}
	return nil
}

func (w *postedOrg) someTeams(random *rand.Rand) (teams []string) {
	for _, t := range postedTeams {
		if random.IntN(2) == 0 {
			teams = append(teams, t)
		}
	}
	return teams
}

// state makes a statement about somebody, as of now.
func (w *postedOrg) state(p *poster) posting {
	one := posting{at: time.Now(), teams: slices.Clone(p.teams)}
	p.made = append(p.made, one)
	return one
}

// post posts a statement; again, while the worker does not answer.
func (w *postedOrg) post(ctx context.Context, p *poster, one posting) error {
	teams := one.teams
	if teams == nil {
		teams = []string{}
	}
	body, err := json.Marshal(map[string]any{"person": map[string]any{"key": p.key, "email": p.address}, "groups": teams,
		"at": one.at})
	if err != nil {
		return err
	}
	one.sent = time.Now()
	p.sent = append(p.sent, one)
	return stack.Eventually(ctx, time.Minute, func() error {
		state, err := w.send(ctx, body, feedKey)
		if err == nil && state != "applied" && state != "known" && state != "stale" {
			err = fmt.Errorf("the inbox answers %s", state)
		}
		if err == nil {
			w.states[state]++
		}
		return err
	})
}

// send signs a post and returns the inbox's answer: what became of it, or why not.
func (w *postedOrg) send(ctx context.Context, body []byte, key string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.address+"/feeds/"+org+"/posts",
		bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(notify.HeaderTimestamp, at)
	r.Header.Set(notify.HeaderSignature, notify.Sign(key, at, body))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	var got struct{ State, Code string }
	err = json.NewDecoder(answer.Body).Decode(&got)
	return got.State + got.Code, err
}

func (w *postedOrg) pick(random *rand.Rand) []cloud.Fault {
	if w.silent = random.IntN(4) == 0; w.silent {
		w.silences++
	}
	return pick(random, faultTargets{
		cut:    [][]string{{"users.search"}, {"groups.search"}, {"users.search", "groups.search"}},
		stale:  [][]string{{"users.search"}},
		reads:  []string{"users.search", "groups.search", "events.stream"},
		writes: []string{"memberships.*", "groups.create"},
		all:    []string{"users.search", "groups.search", "memberships.*", "groups.create", "events.stream"},
	})
}

// day is some of what is posted, late, twice, in another order, or never; and what somebody else posts.
func (w *postedOrg) day(ctx context.Context, random *rand.Rand) error {
	for range 4 + random.IntN(8) {
		p := w.people[random.IntN(len(w.people))]
		p.teams = w.someTeams(random)
		one := w.state(p)
		switch n := random.IntN(8); {
		case w.silent || n == 0:
			w.lost++ // nobody posts it
		case n < 3:
			w.held++
			p.waiting = append(p.waiting, one)
		default:
			if err := w.post(ctx, p, one); err != nil {
				return err
			}
		}
		if w.silent {
			continue
		}
		if err := w.disorder(ctx, random); err != nil {
			return err
		}
	}
	if random.IntN(4) == 0 {
		w.dead++
		return w.restart()
	}
	return nil
}

// disorder posts what is late, replays what was posted before, and has somebody post who does not know the secret.
func (w *postedOrg) disorder(ctx context.Context, random *rand.Rand) error {
	p := w.people[random.IntN(len(w.people))]
	for len(p.waiting) > 0 {
		i := random.IntN(len(p.waiting))
		one := p.waiting[i]
		p.waiting = slices.Delete(p.waiting, i, i+1)
		if err := w.post(ctx, p, one); err != nil {
			return err
		}
	}
	if len(p.sent) > 0 {
		if err := w.post(ctx, p, p.sent[random.IntN(len(p.sent))]); err != nil {
			return err
		}
	}
	body, err := json.Marshal(map[string]any{"person": map[string]any{"key": p.key, "email": p.address},
		"groups": []string{}, "at": time.Now()})
	if err != nil {
		return err
	}
	if state, err := w.send(ctx, body, feedKey+"x"); err == nil && state != "unauthorized" {
		return fmt.Errorf("a post with a wrong signature is %s", state)
	}
	return nil
}

// known returns the statement of somebody that counts at an instant: of those that were sent, the latest; none.
func (p *poster) known(at time.Time) (known posting, is bool) {
	for _, one := range p.sent {
		if !one.sent.After(at) && (!is || one.at.After(known.at)) {
			known, is = one, true
		}
	}
	return known, is
}

// lately reports whether a statement that counted within reach of an instant named a team, or did not.
func (p *poster) lately(team string, in bool, at time.Time) bool {
	instants := []time.Time{at.Add(-reach)}
	for _, one := range p.sent {
		if one.sent.After(at.Add(-reach)) && !one.sent.After(at) {
			instants = append(instants, one.sent)
		}
	}
	return slices.ContainsFunc(instants, func(i time.Time) bool {
		known, is := p.known(i)
		return is && slices.Contains(known.teams, team) == in
	})
}

func (w *postedOrg) look(ctx context.Context, seed uint64) error {
	w.seed = max(w.seed, seed)
	changes, err := w.Simulator.History(ctx)
	if err != nil {
		return err
	}
	for _, c := range changes[w.seen:] {
		team, p := strings.TrimPrefix(c.What, "group:"), w.of[c.Account]
		if !byCastellan(c) || p == nil || !slices.Contains(postedTeams, team) {
			continue
		}
		what := fmt.Sprintf("seed %d: %s in %s is %v since %s: %v", w.seed, p.address, team, c.Holds, stamp(c.At), p.sent)
		if c.Holds {
			w.additions++
		} else {
			w.removals++
		}
		if p.lately(team, c.Holds, c.At) {
			continue
		}
		if c.Holds {
			w.strangers = append(w.strangers, what)
		} else {
			w.wrongful = append(w.wrongful, what)
		}
	}
	w.seen = len(changes)
	return nil
}

// right says who is not in the groups that the last statement names. What was never posted is not known.
func (w *postedOrg) right(ctx context.Context) error {
	if err := w.look(ctx, 0); err != nil {
		return err
	}
	state, err := w.Simulator.State(ctx)
	if err != nil {
		return err
	}
	for _, team := range postedTeams {
		members := stack.Members(state, team)
		for _, p := range w.people {
			known, _ := p.known(time.Now())
			if is, want := slices.Contains(members, p.account), slices.Contains(known.teams, team); is != want {
				return fmt.Errorf("%s in %s: is %v, should be %v", p.address, team, is, want)
			}
		}
	}
	return nil
}

func (w *postedOrg) tally() string {
	return fmt.Sprintf("silent: %v; posts %v; %d additions and %d removals so far, %d wrongful", w.silent, w.states,
		w.additions, w.removals, len(w.wrongful))
}

func (w *postedOrg) report(t *testing.T) {
	t.Helper()
	t.Logf("posts: %v, late %d, lost %d; silent schedules: %d; additions %d, removals %d; workers killed %d", w.states, w.held,
		w.lost, w.silences, w.additions, w.removals, w.dead)
	require.Empty(t, w.wrongful, "removed though nothing that was posted says so")
	require.Empty(t, w.strangers, "added though nothing that was posted says so")
}
