// Package session has what the rooms of the activities share: an organization's policy, its API client and its outline;
// reading and pacing pages of people; turning errors into Temporal's. It has no activities, and never writes to
// Atlassian.
package session

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/attribute"
	"github.com/castellan-io/castellan/source"
)

// Options configure sessions.
type Options struct {
	Ledger *ledger.Ledger
	// base of the organization API, for example https://api.atlassian.com/admin
	AtlassianURL string
	Secret       func(org, ref string) (string, error) // resolves secret references of an organization's policy
	HTTP         *http.Client                          // nil for the default
	Temporal     Starter                               // of grants' workflows
	Notifier     Notifier                              // sends notices about grants and reviews
	Now          func() time.Time                      // nil for time.Now
	Version      string                                // of this program, for evidence

	// SourceSecret resolves the reference of an identity source's secret that is sent to these hosts: each a HOST or
	// HOST:PORT, port 443 where there is none. It fails unless whoever runs the worker allows it for all of them.
	SourceSecret  func(org, ref string, hosts ...string) (string, error)
	SourceFolders map[string][]string // absolute paths in which file sources may read, by organization
	SourceCAs     *x509.CertPool      // authorities for the certificates of sources' servers; nil: the system's
}

// Env is shared by all activities of a process.
type Env struct {
	Ledger   *ledger.Ledger
	Now      func() time.Time
	Temporal Starter
	Notifier Notifier
	Version  string

	baseURL string
	secret  func(org, ref string) (string, error)
	http    *http.Client

	sourceSecret  func(org, ref string, hosts ...string) (string, error)
	sourceFolders map[string][]string
	sourceCAs     *x509.CertPool
	sourceHTTP    *http.Client                      // nil: readers have their own
	openSources   *lru.Cache[string, source.Source] // by organization, name and policy

	policies    *lru.Cache[string, *policy.Policy]     // by organization and hash
	provisions  *lru.Cache[string, identity.Provision] // compiled, by policy and name
	bounds      *lru.Cache[string, keptBound]          // by organization and run
	FreshBounds *lru.Cache[string, FreshBound]         // the same, for groups that were read again for an approved hold

	mu    sync.Mutex
	paces map[string]*pace // by organization
}

// How much of the ledger is cached in memory: enough for the organizations that are active at the same time.
const (
	policiesKept = 256
	boundsKept   = 64
	sourcesKept  = 256
)

// NewEnv returns what the activities share.
func NewEnv(o Options) *Env {
	e := &Env{
		Ledger: o.Ledger, baseURL: o.AtlassianURL, secret: o.Secret, http: o.HTTP, Now: o.Now,
		sourceSecret: o.SourceSecret, sourceFolders: o.SourceFolders, sourceCAs: o.SourceCAs,
		sourceHTTP: sourceHTTP(o),
		Temporal:   o.Temporal, Notifier: o.Notifier, Version: o.Version, paces: map[string]*pace{},
	}
	e.policies, _ = lru.New[string, *policy.Policy](policiesKept) // the error is for sizes below one
	e.provisions, _ = lru.New[string, identity.Provision](policiesKept)
	e.bounds, _ = lru.New[string, keptBound](boundsKept)
	e.FreshBounds, _ = lru.New[string, FreshBound](boundsKept)
	e.openSources, _ = lru.New[string, source.Source](sourcesKept)
	if e.http == nil {
		e.http = http.DefaultClient
	}
	if e.Now == nil {
		e.Now = func() time.Time { return time.Now().UTC() }
	}
	return e
}

// Session is one activity's access to one organization: its policy, its API client and the number of calls made.
type Session struct {
	*Env
	Org       string
	Policy    *policy.Policy
	Current   string // hash of the policy in force; empty: none
	API       *organization.Client
	Directory string
	calls     atomic.Int64
	uses      int                       // scarce calls made for the use of apps
	boundTo   string                    // the run of runBound; empty: none
	runBound  *policy.Bound             // the last result of BoundOf
	saved     time.Time                 // when this activity saved or read the outline; zero: not yet
	sources   func(source string) error // whether conditions may take an identity source's word; nil: of none

	scopes map[string]*attribute.Expression // of the sources, once somebody asked
}

// OpenInForce is Open for the policy in force.
func (a *Env) OpenInForce(ctx context.Context, org string) (*Session, error) {
	known, err := a.Ledger.Organization(ctx, org)
	if err != nil {
		return nil, err
	}
	return a.Open(ctx, org, known.Policy)
}

// Open returns a session for an organization and a policy in the ledger.
func (a *Env) Open(ctx context.Context, org, hash string) (*Session, error) {
	p, err := a.WrittenPolicy(ctx, org, hash)
	if err != nil {
		return nil, err
	}
	s, err := a.Connect(org, p)
	if err != nil {
		return nil, err
	}
	if err := a.CheckServed(ctx, org, p); err != nil {
		return nil, err
	}
	known, err := a.Ledger.Organization(ctx, org)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return nil, err
	}
	if known.Unexplained {
		return nil, NonRetryable(ErrPolicy,
			fmt.Errorf("the ledger's chain does not explain which policy of organization %s is in force: somebody wrote that past Castellan; look at what starter verify-ledger %[1]s names, and apply the policy again", org))
	}
	s.Current = known.Policy
	if err == nil && s.Directory == "" {
		s.Directory = known.Directory
	}
	if s.Directory == "" {
		if s.Directory, err = s.OnlyDirectory(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.useNames(ctx, known.Policy == hash); err != nil {
		return nil, err
	}
	return s, s.askSources(ctx)
}

// Connect returns a session for a policy alone, without a directory if the policy names none.
func (a *Env) Connect(org string, p *policy.Policy) (*Session, error) {
	if p.Organization.Name != org {
		return nil, NonRetryable(ErrPolicy,
			fmt.Errorf("policy %s is for organization %q and not for %q: an organization's secrets serve its own policies only", p.Hash(), p.Organization.Name, org))
	}
	s := &Session{Env: a, Org: org, Policy: p, Directory: p.Organization.Directory}
	key := func(context.Context) (string, error) {
		value, err := a.secret(org, p.Organization.Key)
		if err != nil {
			return "", NonRetryable(ErrKeyRefused,
				fmt.Errorf("the key of organization %s cannot be read: %w", org, err))
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
		return nil, NonRetryable(ErrPolicy, fmt.Errorf("organization %s: %w", org, err))
	}
	s.API = api
	return s, nil
}

// CallsMade returns how many calls the session made so far.
func (s *Session) CallsMade() int { return int(s.calls.Load()) }

// OnlyDirectory returns the directory of an organization whose policy names none.
func (s *Session) OnlyDirectory(ctx context.Context) (string, error) {
	page, err := s.API.Directories(ctx, "")
	if err != nil {
		return "", WrapAPIError("read the directories of organization "+s.Org, err)
	}
	if len(page.Items) != 1 {
		names := ""
		for _, d := range page.Items {
			names += fmt.Sprintf(" %s (%s)", d.ID, d.Name)
		}
		return "", NonRetryable(ErrPolicy,
			fmt.Errorf("organization %s has %d directories:%s; name the one to work in as organization.directory",
				s.Org, len(page.Items), names))
	}
	return page.Items[0].ID, nil
}

// PolicyOf returns a policy with the accounts of its names, as far as the ledger knows them.
func (a *Env) PolicyOf(ctx context.Context, org, hash string) (*policy.Policy, error) {
	p, err := a.WrittenPolicy(ctx, org, hash)
	if err != nil || len(p.Names()) == 0 {
		return p, err
	}
	rows, err := a.Ledger.PolicyNames(ctx, org)
	if err != nil {
		return nil, err
	}
	return p.WithAccounts(BoundInForce(rows)), nil
}

// isUnreadable reports whether an error of WrittenPolicy means that the ledger's text is no policy, or not the one with
// that hash.
func isUnreadable(err error) bool {
	var what *temporal.ApplicationError
	return errors.As(err, &what) && what.Type() == ErrPolicy
}

// WrittenPolicy returns a policy from the ledger by its hash, its names not resolved.
func (a *Env) WrittenPolicy(ctx context.Context, org, hash string) (*policy.Policy, error) {
	key := org + "/" + hash
	if p, known := a.policies.Get(key); known {
		return p, nil
	}
	version, err := a.Ledger.Policy(ctx, org, hash)
	if err != nil {
		return nil, fmt.Errorf("policy %s of organization %s: %w", hash, org, err)
	}
	if sum := sha256.Sum256(version.Body); hash != "" && hash != "sha256:"+hex.EncodeToString(sum[:]) {
		return nil, NonRetryable(ErrPolicy,
			fmt.Errorf("policy %s of organization %s: the ledger has another text under this hash: it was written past the ledger; apply the policy again", hash, org))
	}
	p, err := policy.ParseWritten("policy", version.Body)
	if err != nil {
		return nil, NonRetryable(ErrPolicy, err)
	}
	a.policies.Add(key, p)
	return p, nil
}

// BoundOf returns the run's policy bound to the run's outline: from memory, unless another worker has saved another
// outline of the run since, or from the ledger.
func (s *Session) BoundOf(ctx context.Context, run string) (*policy.Bound, error) {
	if s.runBound != nil && s.boundTo == run {
		return s.runBound, nil
	}
	saved, err := s.Ledger.OutlineSaved(ctx, s.Org, run)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return nil, err
	}
	if kept, known := s.bounds.Get(s.Org + "/" + run); known && (err != nil || kept.saved.Equal(saved)) {
		s.runBound, s.boundTo = kept.bound, run
		return kept.bound, nil
	}
	outline, err := s.OutlineOf(ctx, run)
	if err != nil {
		return nil, err
	}
	s.saved = saved
	return s.Bind(run, outline), nil
}

// KeepBound keeps a run's bound policy in memory.
func (s *Session) KeepBound(run string, b *policy.Bound) {
	s.runBound, s.boundTo = b, run
	s.bounds.Add(s.Org+"/"+run, keptBound{b, s.saved})
}

// keptBound is a policy bound to an outline that was saved at that time; zero: not saved yet.
type keptBound struct {
	bound *policy.Bound
	saved time.Time
}

// FreshBound is a policy bound to groups that were read at that time.
type FreshBound struct {
	Bound *policy.Bound
	At    time.Time
}

// Starter starts a grant's workflow, or signals the running one. It is Temporal's client.
type Starter interface {
	SignalWithStartWorkflow(ctx context.Context, workflowID, signal string, arg any,
		options client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error)
	SignalWorkflow(ctx context.Context, workflowID, runID, signal string, arg any) error
	QueryWorkflow(ctx context.Context, workflowID, runID, query string, args ...any) (converter.EncodedValue, error)
}

// Notifier sends notices to people.
type Notifier interface {
	// Private reports whether only the addressee reads a notice; only then may it contain a code.
	Private() bool
	Notify(ctx context.Context, n messages.Notice) error
}

// Question answers one kind of report from the ledger.
type Question func(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error
