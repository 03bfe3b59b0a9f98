package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/atlassian/organization"
)

// The types of error that workflows can tell apart. Those of a kind that no retry mends are not retried.
const (
	ErrKeyRefused     = "KeyRefused"     // 401: the key is wrong, expired or revoked
	ErrForbidden      = "Forbidden"      // 403: the key may not do this
	ErrInvalid        = "Invalid"        // 400, 404: the request does not fit the organization
	ErrPolicy         = "PolicyError"    // the policy does not fit itself or the organization
	ErrNotOpen        = "NotOpen"        // a decision on a plan that is not open
	ErrUnknown        = "Unknown"        // a person, run or organization that Castellan does not know
	ErrRateLimited    = "RateLimited"    // 429
	ErrUnavailable    = "Unavailable"    // the API cannot be reached, or fails
	ErrOutcomeUnknown = "OutcomeUnknown" // a write of which nobody knows whether it was done
	ErrEvidence       = "BadEvidence"    // the answers cannot be right
)

// outcomePatience is how long an unknown outcome waits before the state is read back: Atlassian's reads lag its writes
// by some seconds.
const outcomePatience = 5 * time.Second

// stop is an error that no retry mends.
func stop(kind string, err error) error {
	return temporal.NewApplicationErrorWithOptions(err.Error(), kind, temporal.ApplicationErrorOptions{NonRetryable: true})
}

// again is an error to be retried, after at least the given time when that is known.
func again(kind string, after time.Duration, err error) error {
	return temporal.NewApplicationErrorWithOptions(err.Error(), kind, temporal.ApplicationErrorOptions{NextRetryDelay: after})
}

// expected is a wait that is part of the plan: it is retried and not counted as a failure.
func expected(after time.Duration, err error) error {
	return temporal.NewApplicationErrorWithOptions(err.Error(), ErrUnavailable, temporal.ApplicationErrorOptions{
		NextRetryDelay: after, Category: temporal.ApplicationErrorCategoryBenign,
	})
}

// explain turns what the API answered into an error that says what was tried and what to do: the only place where API
// errors become Temporal's.
func explain(tried string, err error) error {
	if err == nil {
		return nil
	}
	var already *temporal.ApplicationError
	if errors.As(err, &already) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	say := func(what string) error { return fmt.Errorf("%s: %s: %w", tried, what, err) }
	var answered *organization.Error
	wait := time.Duration(0)
	if errors.As(err, &answered) {
		wait = answered.RetryAfter
	}
	switch {
	case errors.Is(err, organization.ErrUnauthorized):
		return stop(ErrKeyRefused, say("Atlassian refused the organization key: it is wrong, expired or revoked; make a new one and put it where the policy's organization.key points"))
	case errors.Is(err, organization.ErrForbidden):
		return stop(ErrForbidden, say("the key may not do this; check that organization.id is the organization the key was made for and that the key was made without scopes"))
	case errors.Is(err, organization.ErrRateLimited):
		if wait <= 0 {
			wait = 10 * time.Second
		}
		return again(ErrRateLimited, wait, say("the rate limit is reached; waiting"))
	case errors.Is(err, organization.ErrNotFound), errors.Is(err, organization.ErrInvalid):
		return stop(ErrInvalid, say("Atlassian does not accept it"))
	case errors.Is(err, organization.ErrOutcomeUnknown):
		return again(ErrOutcomeUnknown, outcomePatience, say("nobody knows whether it was done; the state is read back before another attempt"))
	case errors.Is(err, organization.ErrMalformed):
		return again(ErrEvidence, 0, say("the answer cannot be right"))
	}
	return again(ErrUnavailable, wait, say("Atlassian cannot be reached or fails"))
}
