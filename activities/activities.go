// Package activities is where Castellan touches the world: every call to Atlassian and to the ledger is made here, one
// file per concern. Activities run at least once, so each says in its comment what a repeat does.
//
// Reads walk a block of pages and repeat at most that block. A write is one activity per API call; the ledger line it
// stands on makes it idempotent (see change.go).
package activities

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
)

// Options are what the activities work with.
type Options struct {
	Ledger       *ledger.Ledger
	AtlassianURL string                           // base of the organization API, for example https://api.atlassian.com/admin
	Secret       func(ref string) (string, error) // resolves env:NAME and file:/path
	HTTP         *http.Client                     // nil for the default
	Temporal     Starter                          // for the workflows of grants
	Schedules    Schedules                        // for reports on a schedule
	Notifier     Notifier                         // tells people about grants and reviews
	Pages        *ReviewPages                     // where reviewers' pages are served; nil: nowhere
	Now          func() time.Time                 // nil for time.Now
	Version      string                           // of this program, for evidence
}

// Activities holds what all of them share. Its exported methods are the activities.
type Activities struct {
	ledger  *ledger.Ledger
	baseURL string
	secret  func(string) (string, error)
	http    *http.Client
	now     func() time.Time

	temporal  Starter
	schedules Schedules
	notifier  Notifier
	pages     *ReviewPages
	waking    wakes // of reviews, by what is decided on pages
	version   string

	mu       sync.Mutex
	policies map[string]*policy.Policy // by hash
	bounds   map[string]*policy.Bound  // by run
	paces    map[string]*pace          // by organization
}

// New builds the activities.
func New(o Options) *Activities {
	a := &Activities{
		ledger: o.Ledger, baseURL: o.AtlassianURL, secret: o.Secret, http: o.HTTP, now: o.Now,
		temporal: o.Temporal, schedules: o.Schedules, notifier: o.Notifier, pages: o.Pages, version: o.Version,
		policies: map[string]*policy.Policy{}, bounds: map[string]*policy.Bound{}, paces: map[string]*pace{},
	}
	if a.http == nil {
		a.http = http.DefaultClient
	}
	if a.now == nil {
		a.now = func() time.Time { return time.Now().UTC() }
	}
	return a
}

// session is one activity's view of one organization: its policy, its API client and the count of calls made.
type session struct {
	*Activities
	org       string
	policy    *policy.Policy
	api       *organization.Client
	directory string
	calls     atomic.Int64
	again     []Regiven // noticed on the way
	uses      int       // scarce calls made for when people used apps
}

// open resolves an organization and a policy that the ledger knows.
func (a *Activities) open(ctx context.Context, org, hash string) (*session, error) {
	p, err := a.policyOf(ctx, org, hash)
	if err != nil {
		return nil, err
	}
	s, err := a.connect(org, p)
	if err != nil {
		return nil, err
	}
	known, err := a.ledger.Organization(ctx, org)
	if err == nil && s.directory == "" {
		s.directory = known.Directory
	}
	if s.directory == "" {
		if s.directory, err = s.onlyDirectory(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// connect builds a session from a policy alone, without a directory when the policy names none.
func (a *Activities) connect(org string, p *policy.Policy) (*session, error) {
	s := &session{Activities: a, org: org, policy: p, directory: p.Organization.Directory}
	key := func(context.Context) (string, error) {
		value, err := a.secret(p.Organization.Key)
		if err != nil {
			return "", stop(ErrKeyRefused, fmt.Errorf("the key of organization %s cannot be read: %w", org, err))
		}
		return value, nil
	}
	client := *a.http
	client.Transport = a.paceOf(org).transport(a.http.Transport)
	api, err := organization.New(organization.Options{
		BaseURL: a.baseURL, OrgID: p.Organization.ID, Key: key, HTTP: &client, UserAgent: "castellan",
		Observe: func(organization.Call) { s.calls.Add(1) },
	})
	if err != nil {
		return nil, stop(ErrPolicy, fmt.Errorf("organization %s: %w", org, err))
	}
	s.api = api
	return s, nil
}

func (s *session) made() int { return int(s.calls.Load()) }

// onlyDirectory finds the directory of an organization whose policy names none.
func (s *session) onlyDirectory(ctx context.Context) (string, error) {
	page, err := s.api.Directories(ctx, "")
	if err != nil {
		return "", explain("read the directories of organization "+s.org, err)
	}
	if len(page.Items) != 1 {
		names := ""
		for _, d := range page.Items {
			names += fmt.Sprintf(" %s (%s)", d.ID, d.Name)
		}
		return "", stop(ErrPolicy, fmt.Errorf("organization %s has %d directories:%s; name the one to work in as organization.directory", s.org, len(page.Items), names))
	}
	return page.Items[0].ID, nil
}

func (a *Activities) policyOf(ctx context.Context, org, hash string) (*policy.Policy, error) {
	a.mu.Lock()
	p := a.policies[hash]
	a.mu.Unlock()
	if p != nil {
		return p, nil
	}
	version, err := a.ledger.Policy(ctx, org, hash)
	if err != nil {
		return nil, fmt.Errorf("policy %s of organization %s: %w", hash, org, err)
	}
	p, err = policy.Parse("policy", version.Body)
	if err != nil {
		return nil, stop(ErrPolicy, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.policies) > 64 {
		clear(a.policies)
	}
	a.policies[hash] = p
	return p, nil
}

// boundOf is the run's policy bound to the run's outline, from this process or from the ledger.
func (s *session) boundOf(ctx context.Context, run string) (*policy.Bound, error) {
	s.mu.Lock()
	b := s.bounds[s.org+"/"+run]
	s.mu.Unlock()
	if b != nil {
		return b, nil
	}
	outline, err := s.outlineOf(ctx, run)
	if err != nil {
		return nil, err
	}
	return s.bind(run, outline), nil
}

func (s *session) keepBound(run string, b *policy.Bound) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bounds) > 8 {
		clear(s.bounds)
	}
	s.bounds[s.org+"/"+run] = b
}
