package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/messages"
)

func requestGrant(ctx workflow.Context, in activities.RequestGrantInput) (messages.GrantAnswer, error) {
	return call[messages.GrantAnswer](ctx, ask, in.Org, fmt.Sprintf("judge the request of %s for %s", in.Person, in.Target), act.RequestGrant, in)
}

func extendGrant(ctx workflow.Context, in activities.ExtendGrantInput) (messages.GrantAnswer, error) {
	return call[messages.GrantAnswer](ctx, ask, in.Org, "judge the request to prolong by "+in.Duration.String(), act.ExtendGrant, in)
}

func decideGrant(ctx workflow.Context, in activities.DecideGrantInput) (messages.GrantAnswer, error) {
	return call[messages.GrantAnswer](ctx, lookup, in.Org, fmt.Sprintf("record the decision of %s", in.By), act.DecideGrant, in)
}

func revokeGrant(ctx workflow.Context, in activities.RevokeGrantInput) (messages.GrantAnswer, error) {
	return call[messages.GrantAnswer](ctx, lookup, in.Org, "end the grants now, as "+in.RequestedBy+" says", act.RevokeGrant, in)
}

func expireGrant(ctx workflow.Context, in activities.GrantInput) (access.Grant, error) {
	return call[access.Grant](ctx, lookup, in.Org, "close the request "+in.ID+", which nobody decided", act.ExpireGrant, in)
}

func readGrants(ctx workflow.Context, in activities.GrantsInput) ([]access.Grant, error) {
	return call[[]access.Grant](ctx, endless, in.Org, "read the grants in the ledger", act.ReadGrants, in)
}

func tell(ctx workflow.Context, in activities.TellInput) error {
	_, err := call[struct{}](ctx, notice, in.Org, "tell people: "+in.Kind, act.Tell, in)
	return err
}

func attend(ctx workflow.Context, in activities.AttendInput) (activities.AttendResult, error) {
	return call[activities.AttendResult](ctx, endless, in.Org, fmt.Sprintf("see what the grants of %d people ask for", len(in.Asks)), act.Attend, in)
}

func attended(ctx workflow.Context, in activities.AttendInput) (int, error) {
	return call[int](ctx, endless, in.Org, fmt.Sprintf("tell %d grants what was done", len(in.Asks)), act.Attended, in)
}
