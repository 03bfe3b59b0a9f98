package kit

import (
	"errors"
	"fmt"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// errRefused is the type of error with which an update refuses bad input.
const errRefused = "Refused"

func renewing() error {
	return temporal.NewApplicationErrorWithOptions("the history is being renewed; try again in a moment",
		messages.Renewing, temporal.ApplicationErrorOptions{})
}

// Refuse returns the error with which an input is refused.
func Refuse(format string, args ...any) error {
	return temporal.NewApplicationErrorWithOptions(display.Line(fmt.Sprintf(format, args...)), errRefused,
		temporal.ApplicationErrorOptions{NonRetryable: true})
}

// PlainError returns an error for whoever sent an update or started a workflow: the reason alone, without Temporal's
// wrapping of activity errors.
func PlainError(err error) error {
	var of *temporal.ActivityError
	var child *temporal.ChildWorkflowExecutionError
	if temporal.IsCanceledError(err) || !errors.As(err, &of) && !errors.As(err, &child) {
		return err
	}
	kind, final := "Failed", true
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		kind, final = app.Type(), app.NonRetryable()
	}
	message := display.Visible(MessageOf(err))
	if kind != session.ErrPolicy { // policy errors have several lines
		message = display.Line(message)
	}
	return temporal.NewApplicationErrorWithOptions(message, kind, temporal.ApplicationErrorOptions{NonRetryable: final})
}

// KindOf returns an error's type, as set by its activity.
func KindOf(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Type()
	}
	var late *temporal.TimeoutError
	if errors.As(err, &late) {
		return "Timeout"
	}
	return "Error"
}

// MessageOf returns an error's message, without Temporal's wrapping.
func MessageOf(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return session.Plain(app)
	}
	var late *temporal.TimeoutError
	switch {
	case !errors.As(err, &late):
		return err.Error()
	case late.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START: // only of the watch
		return "no worker has room to watch the organization; raise CASTELLAN_WATCHES, or start another worker"
	}
	return "an activity took too long; is a worker running? " + late.Error()
}

// FirstError returns the first error that is not nil.
func FirstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// MostText is how many bytes of a text that people wrote are kept.
const MostText = 500

// Bounded shortens a text that people wrote.
func Bounded(s string) string {
	if len(s) <= MostText {
		return s
	}
	return strings.ToValidUTF8(s[:MostText], "") + "…"
}
