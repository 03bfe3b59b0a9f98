package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/source"
)

// The error types that workflows distinguish. Those that a retry cannot fix are not retried.
const (
	ErrKeyRefused     = "KeyRefused"     // 401: the key is wrong, expired or revoked
	ErrForbidden      = "Forbidden"      // 403: the key may not do this
	ErrInvalid        = "Invalid"        // 400, 404: the request does not fit the organization
	ErrPolicy         = "PolicyError"    // the policy is inconsistent, or does not fit the organization
	ErrMisnamed       = "Misnamed"       // the policy is for another organization than the workflow
	ErrRetired        = "Retired"        // the organization was retired
	ErrNotOpen        = "NotOpen"        // a decision on a plan that is not open
	ErrUnknown        = "Unknown"        // a person, run or organization that Castellan does not know
	ErrRateLimited    = "RateLimited"    // 429
	ErrUnavailable    = "Unavailable"    // the API cannot be reached, or fails
	ErrOutcomeUnknown = "OutcomeUnknown" // a write with an unknown outcome
	ErrEvidence       = "BadEvidence"    // the responses cannot be right
)

// OutcomePatience is how long to wait after an unknown outcome before the state is read back: Atlassian's reads lag its
// writes by some seconds.
const OutcomePatience = 5 * time.Second

// NonRetryable returns an error that is not retried.
func NonRetryable(kind string, err error) error {
	return temporal.NewApplicationErrorWithOptions(messageOf(kind, err), kind,
		temporal.ApplicationErrorOptions{NonRetryable: true})
}

// RetryAfter returns an error that is retried, after the given time if that is not zero.
func RetryAfter(kind string, after time.Duration, err error) error {
	return temporal.NewApplicationErrorWithOptions(messageOf(kind, err), kind,
		temporal.ApplicationErrorOptions{NextRetryDelay: after})
}

// Benign returns an error for an expected wait: it is retried and not counted as a failure.
func Benign(after time.Duration, err error) error { return benignOfKind(ErrUnavailable, after, err) }

// benignOfKind is Benign for an error of a kind.
func benignOfKind(kind string, after time.Duration, err error) error {
	return temporal.NewApplicationErrorWithOptions(messageOf(kind, err), kind, temporal.ApplicationErrorOptions{
		NextRetryDelay: after, Category: temporal.ApplicationErrorCategoryBenign,
	})
}

// messageOf returns the message of an error of a kind for people: nothing in it is invisible, and only the errors of a
// policy have several lines.
func messageOf(kind string, err error) string {
	if kind == ErrPolicy {
		return display.Lines(Plain(err))
	}
	return display.Line(Plain(err))
}

// Plain returns an error's text. Of Temporal's errors within it, only the messages are kept: their kinds are for
// programs.
func Plain(err error) string {
	said := err.Error()
	for _, app := range applicationErrors(err) {
		said = strings.Replace(said, app.Error(), app.Message(), 1)
	}
	return said
}

// applicationErrors returns those within an error, however deep.
func applicationErrors(err error) []*temporal.ApplicationError {
	switch err := err.(type) { //nolint:errorlint // each is looked at
	case *temporal.ApplicationError:
		return append([]*temporal.ApplicationError{err}, applicationErrors(err.Unwrap())...)
	case interface{ Unwrap() error }:
		return applicationErrors(err.Unwrap())
	case interface{ Unwrap() []error }:
		var all []*temporal.ApplicationError
		for _, one := range err.Unwrap() {
			all = append(all, applicationErrors(one)...)
		}
		return all
	}
	return nil
}

// WrapAPIError returns an error that says what was tried and what to do: the only place where API errors become
// Temporal's.
func WrapAPIError(tried string, err error) error {
	if err == nil {
		return nil
	}
	var already *temporal.ApplicationError
	if errors.As(err, &already) {
		if errors.Is(err, organization.ErrNoKey) {
			return already // an error about the key is final, and needs no addition
		}
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
		return NonRetryable(ErrKeyRefused,
			say("Atlassian refused the organization key: it is wrong, expired or revoked; make a new one and put it where the policy's organization.key points"))
	case errors.Is(err, organization.ErrForbidden):
		return NonRetryable(ErrForbidden,
			say("the key is not permitted to do this; check that organization.id is the organization for which the key was created, and that the key was created without scopes"))
	case errors.Is(err, organization.ErrRateLimited):
		if wait <= 0 {
			wait = 10 * time.Second
		}
		return RetryAfter(ErrRateLimited, wait, say("the rate limit is reached; waiting"))
	case errors.Is(err, organization.ErrNotFound), errors.Is(err, organization.ErrInvalid):
		return NonRetryable(ErrInvalid, say("Atlassian does not accept it"))
	case errors.Is(err, organization.ErrOutcomeUnknown):
		return RetryAfter(ErrOutcomeUnknown, OutcomePatience,
			say("it is not known whether it was done; the state is read back before another attempt"))
	case errors.Is(err, organization.ErrMalformed):
		return RetryAfter(ErrEvidence, 0, say("the answer cannot be right"))
	}
	return RetryAfter(ErrUnavailable, wait, say("Atlassian cannot be reached, or returns errors"))
}

// WrapSourceError returns an error of an identity source as Temporal's, with what was tried: the only place where these
// are mapped. A source that must be configured otherwise is not asked again; one that did not answer, or not all, is.
// Whatever the kind, nobody counts as gone by it. [source.ErrGone] is an answer, and is the caller's.
func WrapSourceError(tried string, err error) error {
	var already *temporal.ApplicationError
	if err == nil || errors.As(err, &already) || errors.Is(err, context.Canceled) {
		return err
	}
	said := fmt.Errorf("%s: %w", tried, err)
	switch {
	case errors.Is(err, source.ErrUnauthorized):
		return NonRetryable(ErrKeyRefused, said)
	case errors.Is(err, source.ErrForbidden):
		return NonRetryable(ErrForbidden, said)
	case errors.Is(err, source.ErrInvalid):
		return NonRetryable(ErrInvalid, said)
	case errors.Is(err, source.ErrRateLimited):
		return RetryAfter(ErrRateLimited, max(source.PauseOf(err), sourcePause), said)
	case errors.Is(err, source.ErrIncomplete), errors.Is(err, source.ErrMalformed):
		return RetryAfter(ErrEvidence, 0, said)
	}
	return RetryAfter(ErrUnavailable, source.PauseOf(err), said)
}

// sourcePause is how long a source that wants fewer calls is left alone at least.
const sourcePause = 10 * time.Second

// ErrorText returns an error's text; of a response of Atlassian, that alone.
func ErrorText(err error) string {
	var answered *organization.Error
	if errors.As(err, &answered) {
		return answered.Error()
	}
	return Plain(err)
}

// ErrRefused is the type of the error for a request that is refused, or a decision that does not count. Its message
// says why and what to do.
const ErrRefused = "Refused"

// Refusedf returns the error for a request or decision that is refused; it is not retried.
func Refusedf(format string, args ...any) error {
	return NonRetryable(ErrRefused, fmt.Errorf(format, args...))
}
