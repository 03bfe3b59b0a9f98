package act

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/reconcile"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

func RequestGrant(ctx workflow.Context, in grants.RequestGrantInput) (messages.GrantAnswer, error) {
	return call[messages.GrantAnswer](ctx, judgeRequest, in.Org,
		fmt.Sprintf("judge the request of %s for %s", in.Person, in.Target), activity.Grants.RequestGrant, in)
}

func ExtendGrant(ctx workflow.Context, in grants.ExtendGrantInput) (messages.GrantAnswer, error) {
	return call[messages.GrantAnswer](ctx, judgeRequest, in.Org, "judge the request to prolong by "+in.Duration.String(),
		activity.Grants.ExtendGrant, in)
}

func DecideGrant(ctx workflow.Context, in grants.DecideGrantInput) (messages.GrantAnswer, error) {
	return call[messages.GrantAnswer](ctx, lookup, in.Org, fmt.Sprintf("record the decision of %s", in.By),
		activity.Grants.DecideGrant, in)
}

func RevokeGrant(ctx workflow.Context, in grants.RevokeGrantInput) (messages.GrantAnswer, error) {
	return call[messages.GrantAnswer](ctx, lookup, in.Org, "end the grants now, as "+in.RequestedBy+" says",
		activity.Grants.RevokeGrant, in)
}

func ExpireGrant(ctx workflow.Context, in grants.GrantInput) (access.Grant, error) {
	return call[access.Grant](ctx, lookup, in.Org, "close the request "+in.ID+", which nobody decided",
		activity.Grants.ExpireGrant, in)
}

func ReadGrants(ctx workflow.Context, in grants.GrantsInput) ([]access.Grant, error) {
	return call[[]access.Grant](ctx, ledgerRead, in.Org, "read the grants in the ledger",
		activity.Grants.ReadGrants, in)
}

func HandOver(ctx workflow.Context, in grants.HandOverInput) error {
	_, err := call[struct{}](ctx, ledgerRead, in.Org,
		fmt.Sprintf("hand %d grants over to the workflow of their account", len(in.Grants)),
		activity.Grants.HandOver, in)
	return err
}

func Tell(ctx workflow.Context, in grants.TellInput) error {
	_, err := call[struct{}](ctx, notice, in.Org, "tell people: "+in.Kind, activity.Grants.Tell, in)
	return err
}

func Attend(ctx workflow.Context, in reconcile.AttendInput) (reconcile.AttendResult, error) {
	return call[reconcile.AttendResult](ctx, ledgerOfGrants, in.Org,
		fmt.Sprintf("see what the grants of %d people ask for", len(in.Asks)), activity.Reconcile.Attend, in)
}

func Attended(ctx workflow.Context, in reconcile.AttendInput) (int, error) {
	return call[int](ctx, ledgerOfGrants, in.Org, fmt.Sprintf("tell %d grants what was done", len(in.Asks)),
		activity.Reconcile.Attended, in)
}

func BurnCodes(ctx workflow.Context, in grants.BurnCodesInput) ([]session.BurntCode, error) {
	return call[[]session.BurntCode](ctx, record, in.Org, "make codes useless that were typed",
		activity.Grants.BurnCodes, in)
}

func ResendCode(ctx workflow.Context, code session.BurntCode) error {
	_, err := call[struct{}](ctx, resend, code.Org, "send another code for "+code.Of(),
		activity.Grants.ResendCode, code)
	return err
}
