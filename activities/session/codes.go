package session

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"strings"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/ledger"
)

// BurntCode is whose code was typed, and what it was for.
type BurntCode struct {
	Org    string `json:"org"`
	Grant  string `json:"grant,omitempty"`
	Review string `json:"review,omitempty"`
	Name   string `json:"name"`
}

// Of says what the code was for.
func (b BurntCode) Of() string {
	if b.Review != "" {
		return "review " + b.Review + " of " + b.Org
	}
	return "request " + b.Grant + " of " + b.Org
}

// ResendCode has another code sent to whoever may be sent one. again is a repeat of what may have been counted before.
func (a *Env) ResendCode(ctx context.Context, code BurntCode, again bool,
	send func(context.Context, BurntCode) error) error {
	if may, err := a.Ledger.MayResendCode(ctx, ledger.BurntCode(code), again); err != nil || !may {
		return err
	}
	return send(ctx, code)
}

// ResendAfterGuess sends somebody another code for the one that a wrong proof burnt. What came of the proof does not
// depend on it.
func (a *Env) ResendAfterGuess(ctx context.Context, code BurntCode, send func(context.Context, BurntCode) error) {
	if err := a.ResendCode(ctx, code, false, send); err != nil {
		activity.GetLogger(ctx).Warn("somebody has no code any more: a wrong proof was given, and another could not be sent", "code", code.Of(), "error", err)
	}
}

// NewCode is an approval code of 26 letters and digits in fives: 128 random bits.
func NewCode() string {
	text := rand.Text()
	var parts []string
	for len(text) > 5 {
		parts, text = append(parts, text[:5]), text[5:]
	}
	return strings.Join(append(parts, text), "-")
}

// SameText compares two texts in a time that says nothing about them.
func SameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
