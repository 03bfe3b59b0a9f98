package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/source/feed"
)

// success is the answer to a post: what became of it.
type success struct {
	State string `json:"state"`
}

// failure is the answer to a post that was refused. It repeats nothing of what was posted.
type failure struct {
	status  int
	Code    string `json:"code"` // stable
	Message string `json:"message"`
}

func (f failure) Error() string { return f.Message }

// The same failures, wherever they are found. Who may not post learns nothing of what there is.
var (
	failUnauthorized = failure{http.StatusUnauthorized, "unauthorized", "there is no such source, or this is not signed by it"}
	failTooLarge     = failure{http.StatusRequestEntityTooLarge, "too-large", "a post has at most 64 KiB, an assertion 192 KiB"}
	failUnavailable  = failure{http.StatusServiceUnavailable, "unavailable", "it cannot be taken now; the log of the worker says why. Post it again later"}
)

// failureOf returns the answer to what was refused.
func failureOf(err error) error {
	var refused *feed.Refusal
	if !errors.As(err, &refused) {
		return err
	}
	status := http.StatusBadRequest
	switch refused.Code {
	case feed.BadSignature, feed.BadIssuer, feed.BadAudience, feed.BadRecipient, feed.Expired:
		status = http.StatusUnauthorized
	case feed.BadCertificate:
		status = http.StatusServiceUnavailable
	}
	return failure{status, string(refused.Code), refused.Why}
}

// senderFailure returns the answer if there is no such source, or that cannot be known.
func (b *inbox) senderFailure(org, name string, err error) error {
	if errors.Is(err, errNoSender) {
		return failUnauthorized
	}
	b.log.Error("a post cannot be taken", zap.String("org", org), zap.String("source", name), zap.Error(err))
	return failUnavailable
}

// storeFailure returns the answer if a statement was not stored.
func (b *inbox) storeFailure(s *sender, err error) error {
	if errors.Is(err, ledger.ErrFull) {
		return failure{http.StatusInsufficientStorage, "full", "the source has as many people or groups as it may have"}
	}
	b.log.Error("a post was not stored", zap.String("org", s.org), zap.String("source", s.spec.Name), zap.Error(err))
	return failUnavailable
}

// refuse answers a post that is not taken, and counts it for the source, if there is one.
func (b *inbox) refuse(w http.ResponseWriter, s *sender, err error) {
	var wait tooMany
	var f failure
	switch {
	case errors.As(err, &wait):
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.wait.Seconds()))))
		f = failure{http.StatusTooManyRequests, "too-many", "the source posts more than 25 times a second; wait, and post it again"}
	case !errors.As(err, &f):
		f = failUnavailable
	}
	if s != nil {
		b.log.Info("a post was refused", zap.String("org", s.org), zap.String("source", s.spec.Name),
			zap.String("code", f.Code))
		b.refusals.add(s, f.Code)
	}
	answer(w, f)
}

// answer answers in JSON.
func answer(w http.ResponseWriter, what any) {
	w.Header().Set("Content-Type", "application/json")
	if f, failed := what.(failure); failed {
		w.WriteHeader(f.status)
	}
	_ = json.NewEncoder(w).Encode(what)
}

// countEvery is how often refused posts are recorded: whoever sends many must not keep the ledger busy.
const countEvery = 5 * time.Second

// refusals counts what was refused, and has it recorded a little later.
type refusals struct {
	record func(s *sender, n int, code string)

	mu      sync.Mutex
	pending map[string]*pendingRefusals // by organization and source
}

type pendingRefusals struct {
	n    int
	code string
}

func (r *refusals) add(s *sender, code string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := s.org + "/" + s.spec.Name
	if p := r.pending[key]; p != nil {
		p.n, p.code = p.n+1, code
		return
	}
	if r.pending == nil {
		r.pending = map[string]*pendingRefusals{}
	}
	r.pending[key] = &pendingRefusals{1, code}
	time.AfterFunc(countEvery, func() {
		r.mu.Lock()
		p := r.pending[key]
		delete(r.pending, key)
		r.mu.Unlock()
		r.record(s, p.n, p.code)
	})
}

func (b *inbox) recordRefusals(s *sender, n int, code string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.env.Ledger.RefusePosts(ctx, s.org, s.spec.Name, n, code, b.env.Now()); err != nil {
		b.log.Warn("refused posts are not counted", zap.String("org", s.org), zap.String("source", s.spec.Name),
			zap.Error(err))
	}
}
