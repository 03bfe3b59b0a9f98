package activities

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/atlassian/organization"
)

// answered is how the API's client fails.
func answered(kind error, after time.Duration) error {
	return &organization.Error{Package: "organization", Operation: "search users", Method: "POST", Path: "/v2/x", Status: 499, Kind: kind, RetryAfter: after}
}

func TestErrorsAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		kind  string
		stops bool
		after time.Duration
		says  string
	}{
		"401":             {answered(organization.ErrUnauthorized, 0), ErrKeyRefused, true, 0, "make a new one"},
		"403":             {answered(organization.ErrForbidden, 0), ErrForbidden, true, 0, "organization.id"},
		"404":             {answered(organization.ErrNotFound, 0), ErrInvalid, true, 0, "does not accept"},
		"400":             {answered(organization.ErrInvalid, 0), ErrInvalid, true, 0, "does not accept"},
		"429 with a time": {answered(organization.ErrRateLimited, 42*time.Second), ErrRateLimited, false, 42 * time.Second, "rate limit"},
		"429 without":     {answered(organization.ErrRateLimited, 0), ErrRateLimited, false, 10 * time.Second, "rate limit"},
		"unknown outcome": {answered(organization.ErrOutcomeUnknown, 0), ErrOutcomeUnknown, false, outcomePatience, "read back"},
		"cannot be read":  {answered(organization.ErrMalformed, 0), ErrEvidence, false, 0, "cannot be right"},
		"5xx":             {answered(organization.ErrUnavailable, 0), ErrUnavailable, false, 0, "cannot be reached or fails"},
		"503 with a time": {answered(organization.ErrUnavailable, 7*time.Second), ErrUnavailable, false, 7 * time.Second, "cannot be reached or fails"},
		"409 already":     {answered(organization.ErrAlreadyMember, 0), ErrUnavailable, false, 0, ""},
		"409 licence":     {answered(organization.ErrLicenceLimit, 0), ErrUnavailable, false, 0, ""},
		"409":             {answered(organization.ErrConflict, 0), ErrUnavailable, false, 0, ""},
		"409 name":        {answered(organization.ErrNameTaken, 0), ErrUnavailable, false, 0, ""},
		"no connection":   {errors.New("connection refused"), ErrUnavailable, false, 0, "connection refused"},
		"took too long":   {fmt.Errorf("read: %w", context.DeadlineExceeded), ErrUnavailable, false, 0, ""},
		"wrapped":         {fmt.Errorf("page 3: %w", answered(organization.ErrUnauthorized, 0)), ErrKeyRefused, true, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := explain("read people of organization acme", c.err)
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.Equal(t, c.kind, app.Type())
			require.Equal(t, c.stops, app.NonRetryable())
			require.Equal(t, c.after, app.NextRetryDelay())
			require.Contains(t, app.Message(), "read people of organization acme")
			require.Contains(t, app.Message(), c.says)
			require.Less(t, len(app.Message()), 4096, "the server cuts longer failures")
		})
	}
}

func TestWhatIsExplainedStaysAsItIs(t *testing.T) {
	require.NoError(t, explain("tried", nil))
	once := explain("tried", answered(organization.ErrForbidden, 0))
	require.Equal(t, once, explain("tried again", once))
	wrapped := fmt.Errorf("in a batch: %w", once)
	require.Equal(t, wrapped, explain("tried again", wrapped))
	require.Equal(t, context.Canceled, explain("tried", context.Canceled), "a cancelled activity is no failure")
}
