package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// ErrRefused is a request that is not granted, or a decision that does not count. Its message says why and what to do.
const ErrRefused = "Refused"

func refused(format string, args ...any) error { return stop(ErrRefused, fmt.Errorf(format, args...)) }

// Starter starts a grant's workflow, or signals the one that runs. It is Temporal's client.
type Starter interface {
	SignalWithStartWorkflow(ctx context.Context, workflowID, signal string, arg any, options client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error)
	SignalWorkflow(ctx context.Context, workflowID, runID, signal string, arg any) error
}

// poke has the grant's workflow read the ledger, and starts it where it does not run.
func (a *Activities) poke(ctx context.Context, org string, target access.Entitlement, key string) error {
	id := messages.GrantID(org, target, key)
	_, err := a.temporal.SignalWithStartWorkflow(ctx, id, messages.Look, nil, client.StartWorkflowOptions{
		ID: id, TaskQueue: messages.QueueWorkflows, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowTaskTimeout: messages.TaskTimeout,
		StaticSummary:       fmt.Sprintf("%s: %s of %s, for a while", key, target, org),
		TypedSearchAttributes: temporal.NewSearchAttributes(
			messages.AttributeOrg.ValueSet(org), messages.AttributeTarget.ValueSet(string(target)), messages.AttributePerson.ValueSet(key),
			messages.AttributeState.ValueSet(messages.GrantStarting),
		),
	}, messages.TemporaryGrant, messages.TemporaryGrantInput{Org: org, Target: target, Key: key})
	if err != nil {
		return fmt.Errorf("start the grant's workflow %s: %w", id, err)
	}
	return nil
}

// GrantInput names a grant.
type GrantInput struct {
	Org string `json:"org"`
	ID  string `json:"id"`
}

// GrantsInput names the grants of one workflow.
type GrantsInput struct {
	Org    string             `json:"org"`
	Target access.Entitlement `json:"target"`
	Key    string             `json:"key"`
	Known  []string           `json:"known,omitempty"` // ids to return even when they are settled
}

// ReadGrants returns a workflow's grants that are not settled, and those it knows, in the order of their requests. It
// changes nothing.
func (a *Activities) ReadGrants(ctx context.Context, in GrantsInput) ([]access.Grant, error) {
	defer beating(ctx)()
	open, err := a.ledger.GrantsOf(ctx, in.Org, in.Key, in.Target)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, g := range open {
		found[g.ID] = true
	}
	var all []access.Grant
	for _, id := range in.Known {
		if found[id] {
			continue
		}
		g, err := a.ledger.Grant(ctx, in.Org, id)
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return append(all, open...), nil
}

// ExpireGrant closes a request that nobody decided in time. A repeat changes nothing.
func (a *Activities) ExpireGrant(ctx context.Context, in GrantInput) (access.Grant, error) {
	defer beating(ctx)()
	return a.ledger.ExpireGrant(ctx, in.Org, in.ID, a.now())
}

// DecideGrantInput is an approver's decision.
type DecideGrantInput struct {
	Org      string             `json:"org"`
	Target   access.Entitlement `json:"target"`
	Key      string             `json:"key"`
	Approve  bool               `json:"approve"`
	CodeHash string             `json:"codeHash,omitempty"`
	messages.ApprovalInput
}

// DecideGrant records a decision on a request that waits. A repeat of the same decision changes nothing; two approvals in
// the same instant decide once.
func (a *Activities) DecideGrant(ctx context.Context, in DecideGrantInput) (messages.GrantAnswer, error) {
	defer beating(ctx)()
	answer := messages.GrantAnswer{Workflow: messages.GrantID(in.Org, in.Target, in.Key)}
	id, err := a.waiting(ctx, in)
	if err != nil {
		return answer, err
	}
	d := ledger.Decision{By: in.By, Approve: in.Approve, Note: in.Note, CodeHash: in.CodeHash, At: a.now()}
	if p, err := a.ledger.FindPerson(ctx, in.Org, in.By); err == nil {
		d.Account = p.ID
	}
	g, decided, err := a.ledger.DecideGrant(ctx, in.Org, id, d)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return answer, refused("request %s is not known", id)
	case errors.Is(err, ledger.ErrNotOpen), errors.Is(err, ledger.ErrTooLate), errors.Is(err, ledger.ErrNotApprover), errors.Is(err, ledger.ErrSelf), errors.Is(err, ledger.ErrCode):
		return answer, stop(ErrRefused, err)
	case err != nil:
		return answer, err
	}
	answer.Grants = []access.Grant{g}
	switch {
	case g.State == access.GrantDenied:
		answer.Message = "denied: nothing is granted"
	case g.State == access.GrantGranted:
		answer.Message = fmt.Sprintf("approved: %s holds %s from %s to %s", personOf(g), g.Target, clock(g.From), clock(g.Until))
	case decided:
		answer.Message = fmt.Sprintf("noted: %d of %d approvals", len(g.Approvals), g.Needs)
	default:
		answer.Message = "that was said before: nothing changes"
	}
	return answer, nil
}

// waiting is the request that a decision is about.
func (a *Activities) waiting(ctx context.Context, in DecideGrantInput) (string, error) {
	if in.Request != "" {
		g, err := a.ledger.Grant(ctx, in.Org, in.Request)
		if errors.Is(err, ledger.ErrNotFound) || err == nil && (g.Key != in.Key || !strings.EqualFold(string(g.Target), string(in.Target))) {
			return "", refused("request %s is not one of this workflow; the details of the workflow name those that wait", in.Request)
		}
		return in.Request, err
	}
	open, err := a.ledger.GrantsOf(ctx, in.Org, in.Key, in.Target)
	if err != nil {
		return "", err
	}
	var ids []string
	for _, g := range open {
		if g.State == access.GrantWaiting {
			ids = append(ids, g.ID)
		}
	}
	switch len(ids) {
	case 0:
		return "", refused("no request waits for a decision")
	case 1:
		return ids[0], nil
	}
	return "", refused("several requests wait; name one as request: %s", strings.Join(ids, ", "))
}

// RevokeGrantInput ends grants early.
type RevokeGrantInput struct {
	Org string `json:"org"`
	Key string `json:"key,omitempty"` // of the workflow that asks; empty: the person tells
	messages.RevokeInput
}

// RevokeGrant ends grants now and wakes their workflow, which has them taken back. A repeat changes nothing.
func (a *Activities) RevokeGrant(ctx context.Context, in RevokeGrantInput) (messages.GrantAnswer, error) {
	defer beating(ctx)()
	var answer messages.GrantAnswer
	open, err := a.revocable(ctx, in)
	if err != nil {
		return answer, err
	}
	for _, g := range open {
		ended, err := a.ledger.EndGrant(ctx, in.Org, g.ID, in.RequestedBy, in.Reason, a.now())
		if err != nil {
			return answer, err
		}
		answer.Grants = append(answer.Grants, ended)
	}
	last := open[len(open)-1]
	answer.Workflow = messages.GrantID(in.Org, last.Target, last.Key)
	answer.Message = fmt.Sprintf("ended: what %s holds of %s by grants is taken back now; what something else gives stays", personOf(last), last.Target)
	return answer, a.poke(ctx, in.Org, last.Target, last.Key)
}

// revocable finds the grants that are meant, also such as were just ended; there is at least one.
func (a *Activities) revocable(ctx context.Context, in RevokeGrantInput) ([]access.Grant, error) {
	var found []access.Grant
	if in.Request != "" {
		g, err := a.ledger.Grant(ctx, in.Org, in.Request)
		if errors.Is(err, ledger.ErrNotFound) || err == nil && in.Key != "" && g.Key != in.Key {
			return nil, refused("request %s is not known here", in.Request)
		}
		return []access.Grant{g}, err
	}
	target, err := access.ParseEntitlement(string(in.Target))
	if err != nil {
		return nil, stop(ErrRefused, err)
	}
	keys := []string{in.Key}
	if in.Key == "" {
		keys = []string{strings.ToLower(in.Person)}
		if p, err := a.ledger.FindPerson(ctx, in.Org, in.Person); err == nil {
			keys = append(keys, p.ID, strings.ToLower(p.Email))
		}
	}
	seen := map[string]bool{}
	for _, key := range keys {
		if seen[key] {
			continue
		}
		seen[key] = true
		open, err := a.ledger.GrantsOf(ctx, in.Org, key, target)
		if err != nil {
			return nil, err
		}
		found = append(found, open...)
	}
	if len(found) == 0 {
		return nil, refused("%s holds %s by no grant that is open", cmp.Or(in.Person, in.Key), in.Target)
	}
	return found, nil
}

func personOf(g access.Grant) string { return cmp.Or(g.Email, g.Person) }

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
