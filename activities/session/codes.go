package session

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"strings"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/ledger"
)

// BurntCode is a spent code: whose it was, and what for.
type BurntCode struct {
	Org    string `json:"org"`
	Grant  string `json:"grant,omitempty"`
	Review string `json:"review,omitempty"`
	Name   string `json:"name"`
}

// Of returns what the code was for.
func (b BurntCode) Of() string {
	if b.Review != "" {
		return "review " + b.Review + " of " + b.Org
	}
	return "request " + b.Grant + " of " + b.Org
}

// ResendCode sends a new code, if the person may have one. again: a repeat, which may have been counted before.
func (a *Env) ResendCode(ctx context.Context, code BurntCode, again bool,
	send func(context.Context, BurntCode) error) error {
	if may, err := a.Ledger.MayResendCode(ctx, ledger.BurntCode(code), again); err != nil || !may {
		return err
	}
	return send(ctx, code)
}

// ResendAfterGuess sends a new code for the one that a wrong proof spent. If that fails, the answer to the proof stays
// the same.
func (a *Env) ResendAfterGuess(ctx context.Context, code BurntCode, send func(context.Context, BurntCode) error) {
	if err := a.ResendCode(ctx, code, false, send); err != nil {
		activity.GetLogger(ctx).Warn("somebody has no code any more: a wrong proof was given, and another could not be sent", "code", code.Of(), "error", err)
	}
}

// NewCode returns an approval code of 26 letters and digits in groups of five: 128 random bits.
func NewCode() string {
	text := rand.Text()
	var parts []string
	for len(text) > 5 {
		parts, text = append(parts, text[:5]), text[5:]
	}
	return strings.Join(append(parts, text), "-")
}

// SameText compares two texts in constant time.
func SameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
