package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/atlassian/organization"
)

// answered is how the API's client fails.
func answered(kind error, after time.Duration) error {
	return &organization.Error{Package: "organization", Operation: "search users", Method: "POST", Path: "/v2/x",
		Status: 499, Kind: kind, RetryAfter: after}
}

func TestErrorsAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		kind  string
		stops bool
		after time.Duration
		says  string
	}{
		"401": {answered(organization.ErrUnauthorized, 0), ErrKeyRefused, true, 0, "make a new one"},
		"403": {answered(organization.ErrForbidden, 0), ErrForbidden, true, 0, "organization.id"},
		"404": {answered(organization.ErrNotFound, 0), ErrInvalid, true, 0, "does not accept"},
		"400": {answered(organization.ErrInvalid, 0), ErrInvalid, true, 0, "does not accept"},
		"429 with a time": {answered(organization.ErrRateLimited, 42*time.Second), ErrRateLimited, false,
			42 * time.Second, "rate limit"},
		"429 without": {answered(organization.ErrRateLimited, 0), ErrRateLimited, false, 10 * time.Second,
			"rate limit"},
		"unknown outcome": {answered(organization.ErrOutcomeUnknown, 0), ErrOutcomeUnknown, false, OutcomePatience,
			"read back"},
		"cannot be read": {answered(organization.ErrMalformed, 0), ErrEvidence, false, 0, "cannot be right"},
		"5xx": {answered(organization.ErrUnavailable, 0), ErrUnavailable, false, 0,
			"cannot be reached, or returns errors"},
		"503 with a time": {answered(organization.ErrUnavailable, 7*time.Second), ErrUnavailable, false,
			7 * time.Second, "cannot be reached, or returns errors"},
		"409 already":   {answered(organization.ErrAlreadyMember, 0), ErrUnavailable, false, 0, ""},
		"409 licence":   {answered(organization.ErrLicenceLimit, 0), ErrUnavailable, false, 0, ""},
		"409":           {answered(organization.ErrConflict, 0), ErrUnavailable, false, 0, ""},
		"409 name":      {answered(organization.ErrNameTaken, 0), ErrUnavailable, false, 0, ""},
		"no connection": {errors.New("connection refused"), ErrUnavailable, false, 0, "connection refused"},
		"took too long": {fmt.Errorf("read: %w", context.DeadlineExceeded), ErrUnavailable, false, 0, ""},
		"wrapped": {fmt.Errorf("page 3: %w", answered(organization.ErrUnauthorized, 0)), ErrKeyRefused,
			true, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := WrapAPIError("read people of organization acme", c.err)
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

func TestErrorsAreExplainedOnlyOnce(t *testing.T) {
	require.NoError(t, WrapAPIError("tried", nil))
	once := WrapAPIError("tried", answered(organization.ErrForbidden, 0))
	require.Equal(t, once, WrapAPIError("tried again", once))
	wrapped := fmt.Errorf("in a batch: %w", once)
	require.Equal(t, wrapped, WrapAPIError("tried again", wrapped))
	require.Equal(t, context.Canceled, WrapAPIError("tried", context.Canceled), "a cancelled activity is no failure")
}

// Kinds of error are for programs: no answer that people read has one within its reason, however errors were put
// together.
func TestErrorsHaveNoKindWithinTheirReason(t *testing.T) {
	inner := NotFoundf("%s shows nobody named %s", "the directory", "carrol@acme.example")
	for _, err := range []error{
		Refusedf("by: %w", inner), Refusedf("%w", fmt.Errorf("a: %w", fmt.Errorf("b: %w", inner))),
		Refusedf("%w", errors.Join(inner, Refusedf("also: %w", inner))),
		NonRetryable(ErrPolicy, inner), RetryAfter(ErrUnavailable, 0, inner), Benign(0, inner), NotFoundf("%w", inner),
	} {
		var app *temporal.ApplicationError
		require.ErrorAs(t, err, &app)
		require.Contains(t, app.Message(), "the directory shows nobody named carrol@acme.example")
		require.NotContains(t, app.Message(), "(type:")
	}
	converter := temporal.GetDefaultFailureConverter()
	carried := converter.FailureToError(converter.ErrorToFailure(fmt.Errorf("tell kim: %w", inner)))
	require.Equal(t, "tell kim: the directory shows nobody named carrol@acme.example", Plain(carried))
	require.NotContains(t, ErrorText(fmt.Errorf("tell kim: %w", inner)), "(type:")
}

// What somebody typed into an error neither steers a terminal nor begins a line of its own.
func TestErrorsShowWhatCannotBeSeen(t *testing.T) {
	err := Refusedf("%s is taken", "x\n## Approved\x1b[2J\u009b31m\u202e")
	require.Equal(t, "x ## Approved⟨U+001B⟩[2J⟨U+009B⟩31m⟨U+202E⟩ is taken", Plain(err))
	require.Equal(t, "two:\n- a⟨U+001B⟩\n- b", Plain(NonRetryable(ErrPolicy, errors.New("two:\n- a\x1b\n- b"))),
		"what is wrong with a policy has lines")
}

func TestErrorsDistinguishAnUnreadableKeyFromAnOutage(t *testing.T) {
	why := NonRetryable(ErrKeyRefused,
		errors.New("the key of organization acme cannot be read: the organization may not use it"))
	api, err := organization.New(organization.Options{
		BaseURL: "http://127.0.0.1:1/admin", OrgID: "org-1", HTTP: http.DefaultClient, UserAgent: "test",
		Key: func(context.Context) (string, error) { return "", why },
	})
	require.NoError(t, err)
	_, err = api.Org(t.Context())
	require.ErrorIs(t, err, organization.ErrNoKey)
	require.Equal(t, why, WrapAPIError("look up organization acme", err), "it is final, and nothing else is to say")
}
