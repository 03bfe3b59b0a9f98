// Package inbox is where identity providers post what they know of people: the other way round from sources that are
// read. It checks who posts, within bounds, and stores what was said in the ledger's replica; it decides nothing, and
// asks nobody. All that it knows is in the ledger, so that any number of workers may serve it.
package inbox

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy/attribute"
	"github.com/castellan-io/castellan/policy/provision"
)

// Options configure the inbox.
type Options struct {
	Env *session.Env
	// Secret resolves a reference of an organization to secrets or certificates, which are sent to nobody.
	Secret func(org, ref string) (string, error)
	Log    *zap.Logger
}

// The limits of one source in this process: posts that are authentic, with what arrives at once.
const (
	postsPerSecond = 25
	postsAtOnce    = 500

	sourcesKept = 1000 // of which something is kept in memory, the most recent
)

// inbox is the handler's state.
type inbox struct {
	env    *session.Env
	secret func(org, ref string) (string, error)
	log    *zap.Logger

	known    *lru.Cache[string, *sender]       // by organization, source and policy
	limiters *lru.Cache[string, *rate.Limiter] // by organization and source
	checks   chan struct{}                     // holds one for each assertion that is being checked
	refusals refusals
}

// New returns the inbox's handler. It serves only:
//
//	POST /feeds/<org>/<source>  a statement about one person: a signed post, or a signed assertion
//	/scim/<org>/<source>/v2/…   SCIM 2.0, for an identity provider that pushes
//	GET  /healthz               whether it takes posts now
//
// The server has to set timeouts and limit connections.
func New(o Options) http.Handler {
	b := &inbox{env: o.Env, secret: o.Secret, log: o.Log, checks: make(chan struct{}, checksAtOnce)}
	b.known, _ = lru.New[string, *sender](sourcesKept) // the error is for sizes below one
	b.limiters, _ = lru.New[string, *rate.Limiter](sourcesKept)
	b.refusals.record = b.recordRefusals
	routes := http.NewServeMux()
	routes.HandleFunc("POST /feeds/{org}/{source}", b.feed)
	routes.HandleFunc("/scim/{org}/{source}/v2/{path...}", b.scim)
	routes.HandleFunc("GET /healthz", b.health)
	return withHeaders(routes)
}

// withHeaders sets the headers of every answer.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func (b *inbox) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthWithin)
	defer cancel()
	if err := b.env.Ledger.Ping(ctx); err != nil {
		answer(w, failure{http.StatusServiceUnavailable, "unavailable", "the ledger does not answer"})
		return
	}
	answer(w, success{"ok"})
}

const healthWithin = 3 * time.Second

// sender is a source of a policy in force that posts.
type sender struct {
	org   string
	spec  provision.Source
	email *attribute.Expression
}

var errNoSender = errors.New("no organization has a source of this name that posts")

var nameForm = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// sender finds a source of the policy in force. The error is errNoSender, or says that it cannot be known now.
func (b *inbox) sender(ctx context.Context, org, name string, kind provision.Kind) (*sender, error) {
	if !nameForm.MatchString(org) || !nameForm.MatchString(name) {
		return nil, errNoSender
	}
	known, err := b.env.Ledger.Organization(ctx, org)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return nil, errNoSender
	case err != nil:
		return nil, err
	case known.Unexplained:
		return nil, errors.New("the ledger's chain does not explain which policy is in force")
	}
	p, err := b.env.WrittenPolicy(ctx, org, known.Policy)
	if err != nil {
		return nil, err
	}
	spec := p.Source(name)
	if spec == nil || spec.Kind != kind {
		return nil, errNoSender
	}
	if err := b.env.CheckServed(ctx, org, p); err != nil {
		return nil, err
	}
	key := org + "/" + name + "/" + known.Policy
	if s, kept := b.known.Get(key); kept {
		return s, nil
	}
	s := &sender{org: org, spec: *spec}
	if s.email, err = attribute.CompileValue(spec.Email); err != nil {
		return nil, err
	}
	b.known.Add(key, s)
	return s, nil
}

// mayPost takes one from what a source may post now, and returns how long to wait if that is used up.
func (b *inbox) mayPost(s *sender) (wait time.Duration) {
	key := s.org + "/" + s.spec.Name
	limiter, known := b.limiters.Get(key)
	if !known {
		limiter = rate.NewLimiter(postsPerSecond, postsAtOnce)
		if before, is, _ := b.limiters.PeekOrAdd(key, limiter); is {
			limiter = before
		}
	}
	now := b.env.Now()
	taken := limiter.ReserveN(now, 1)
	if wait = taken.DelayFrom(now); wait > 0 {
		taken.CancelAt(now)
	}
	return wait
}
