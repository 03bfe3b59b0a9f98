package grants

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/review"
)

// How long an answer waits until the grant's workflow shows the result, and how often it looks.
const (
	mostShowing = 3 * time.Second
	lookShowing = 40 * time.Millisecond
)

// show wakes the grants' workflow and waits until its status shows them as they are, so that whoever looks after an
// answer sees the same. If that takes long, the answer is returned anyway: the ledger has it.
func (a *Activities) show(ctx context.Context, org string, grants ...access.Grant) error {
	type workflow struct {
		key, formerly string
		target        access.Entitlement
	}
	woken := map[workflow]bool{}
	for _, g := range grants {
		if is := (workflow{g.Key, g.FormerKey, g.Target}); !woken[is] {
			if err := a.env.WakeGrant(ctx, org, g); err != nil {
				return err
			}
			woken[is] = true
		}
	}
	last := grants[len(grants)-1]
	grants = slices.DeleteFunc(slices.Clone(grants), func(g access.Grant) bool { // without those of other workflows
		return g.Key != last.Key || g.FormerKey != last.FormerKey || !g.Target.Same(last.Target)
	})
	if !slices.ContainsFunc(grants, func(g access.Grant) bool { return !g.Settled() }) {
		return nil // its workflow may have ended long ago
	}
	patient, cancel := context.WithTimeout(ctx, mostShowing)
	defer cancel()
	look := time.NewTicker(lookShowing)
	defer look.Stop()
	for {
		var status messages.GrantState
		value, err := a.env.Temporal.QueryWorkflow(patient, messages.GrantID(org, last.Target, last.Key), "",
			messages.Status)
		if isNotFound(err) || err == nil && value.Get(&status) == nil && shows(status, grants) {
			return nil
		}
		select {
		case <-look.C:
		case <-patient.Done():
			return ctx.Err()
		}
	}
}

func isNotFound(err error) bool {
	_, missing := errors.AsType[*serviceerror.NotFound](err)
	return missing
}

// shows reports whether a workflow's status has these grants in their states.
func shows(status messages.GrantState, grants []access.Grant) bool {
	for _, g := range grants {
		if !slices.ContainsFunc(status.Grants, func(is access.Grant) bool {
			return is.ID == g.ID && (is.Settled() || is.State == g.State && len(is.Approvals) == len(g.Approvals) &&
				is.Until.Equal(g.Until))
		}) {
			return false
		}
	}
	return true
}

// HandOverInput names grants that another workflow has to take over.
type HandOverInput struct {
	Org    string                `json:"org"`
	Grants []string              `json:"grants"`
	Sent   []messages.SentNotice `json:"sent,omitempty"` // notices of them
	Told   []string              `json:"told,omitempty"` // as messages.GrantState.Told
}

// HandOver gives grants whose key has changed to the workflow of the new key. A repeat wakes it again.
func (a *Activities) HandOver(ctx context.Context, in HandOverInput) error {
	defer session.AutoHeartbeat(ctx)()
	for _, id := range in.Grants {
		g, err := a.env.Ledger.Grant(ctx, in.Org, id)
		if err != nil {
			return err
		}
		if err := a.env.WakeGrantWorkflow(ctx, in.Org, g, messages.SentNotices(in.Sent, in.Told)); err != nil {
			return err
		}
	}
	return a.env.Ledger.RecordHandOver(ctx, in.Org, in.Grants)
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
	Known  []string           `json:"known,omitempty"` // IDs to return even when they are settled
}

// ReadGrants returns a workflow's unsettled grants, those that it has to hand over, and those it knows, in the order of
// their requests. It changes nothing.
func (a *Activities) ReadGrants(ctx context.Context, in GrantsInput) ([]access.Grant, error) {
	defer session.AutoHeartbeat(ctx)()
	open, err := a.env.Ledger.GrantsOf(ctx, in.Org, in.Key, in.Target)
	if err != nil {
		return nil, err
	}
	moving, err := a.env.Ledger.GrantsFormerly(ctx, in.Org, in.Key, in.Target)
	if err != nil {
		return nil, err
	}
	open = append(open, moving...)
	found := map[string]bool{}
	for _, g := range open {
		found[g.ID] = true
	}
	var all []access.Grant
	for _, id := range in.Known {
		if found[id] {
			continue
		}
		g, err := a.env.Ledger.Grant(ctx, in.Org, id)
		if errors.Is(err, ledger.ErrNotFound) {
			continue // no attempt will find it
		}
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return a.env.WithNames(ctx, in.Org, append(all, open...)...)
}

// ExpireGrant closes a request that nobody decided in time. A repeat changes nothing.
func (a *Activities) ExpireGrant(ctx context.Context, in GrantInput) (access.Grant, error) {
	defer session.AutoHeartbeat(ctx)()
	g, err := a.env.Ledger.ExpireGrant(ctx, in.Org, in.ID, a.env.Now())
	if err != nil {
		return g, err
	}
	all, err := a.env.WithNames(ctx, in.Org, g)
	if err != nil {
		return g, err
	}
	return all[0], nil
}

// DecideGrantInput is an approver's decision.
type DecideGrantInput struct {
	Org      string             `json:"org"`
	Target   access.Entitlement `json:"target"`
	Key      string             `json:"key"` // of the calling workflow; empty: the request tells
	Approve  bool               `json:"approve"`
	CodeHash string             `json:"codeHash,omitempty"`
	Shown    string             `json:"shown,omitempty"` // the use that spent the code
	messages.ApprovalInput
}

// DecideGrant records a decision on a request that waits. A repeat of the same decision changes nothing; two approvals
// in the same instant decide once.
func (a *Activities) DecideGrant(ctx context.Context, in DecideGrantInput) (messages.GrantAnswer, error) {
	defer session.AutoHeartbeat(ctx)()
	var answer messages.GrantAnswer
	id, err := a.waiting(ctx, in)
	if err != nil {
		return answer, err
	}
	by, err := a.approver(ctx, in.Org, in.By)
	if err != nil {
		return answer, err
	}
	d := ledger.Decision{
		By: by, Approve: in.Approve, Note: in.Note, CodeHash: in.CodeHash, Shown: in.Shown, Proof: in.Proof,
		At:     a.env.Now(),
		Proves: func(hash string) bool { return session.SameText(in.Proof, proofOfDecision(hash, in)) },
	}
	if d.Same, err = a.sameAs(ctx, in, id); err != nil {
		return answer, err
	}
	g, _, err := a.env.Ledger.DecideGrant(ctx, in.Org, id, d)
	switch {
	case errors.Is(err, ledger.ErrNotOpen):
		if all, err := a.env.WithNames(ctx, in.Org, g); err == nil { // the answer includes them
			g = all[0]
		}
	case errors.Is(err, ledger.ErrCode) && in.Proof != "": // the proof may have spent the code that it guessed at
		a.env.ResendAfterGuess(ctx, session.BurntCode{Org: in.Org, Grant: id, Name: by}, a.resendGrantCode)
	}
	if err != nil {
		return answer, notDecided(in, id, g, err)
	}
	if answer.Grants, err = a.env.WithNames(ctx, in.Org, g); err != nil {
		return answer, err
	}
	g, answer.Workflow = answer.Grants[0], messages.GrantID(in.Org, g.Target, g.Key)
	answer.Message = decidedMessage(g, d)
	return answer, a.show(ctx, in.Org, g)
}

// notDecided returns an error that tells the approver why a decision does not count. Other errors stay as they are.
func notDecided(in DecideGrantInput, id string, g access.Grant, err error) error {
	rest, isRest := errors.AsType[*review.CooldownError](err)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return session.Refusedf("request %s is not known", id)
	case errors.Is(err, ledger.ErrNotOpen):
		return session.Refusedf("request %s no longer waits for a decision: %s", id, grantStands(g))
	case errors.Is(err, review.ErrTooLate):
		return session.Refusedf("request %s: %w: it waited until %s; make a new request", id, review.ErrTooLate,
			session.Timestamp(g.ApprovalDeadline))
	case errors.Is(err, ledger.ErrCode) && in.CodeHash == "" && in.Proof == "":
		return session.Refusedf("request %s requires its approvers' codes: starter %s proves that you know yours without sending it; a code sent as code works once", id, verb(in.Approve))
	case isRest:
		other := rest.Other
		return session.Refusedf("request %s: there must be %s between two grants, and grant %s is in force from %s to %s; "+
			"approve it later, or deny it", id, policy.Duration(rest.Rest), other.ID, session.Timestamp(other.From),
			session.Timestamp(other.Until))
	case errors.Is(err, review.ErrSelf), errors.Is(err, review.ErrRequesterUnknown),
		errors.Is(err, review.ErrNotApprover):
		return session.Refusedf("request %s: %s: %w", id, display.Shorten(in.By, 320), whyNotTheirs(err))
	}
	for _, why := range []error{ledger.ErrUnexplained, review.ErrInRow, ledger.ErrCode} {
		if errors.Is(err, why) {
			return session.Refusedf("request %s: %w", id, why)
		}
	}
	return err
}

// decidedMessage returns the result of a decision in words.
func decidedMessage(g access.Grant, d ledger.Decision) string {
	switch {
	case g.State == access.GrantDenied:
		return "denied: nothing is granted"
	case g.State == access.GrantGranted:
		return fmt.Sprintf("approved: %s holds %s from %s to %s", session.PersonOf(g), g.Target,
			session.Timestamp(g.From), session.Timestamp(g.Until))
	case approvedNow(g, d):
		return fmt.Sprintf("noted: %d of %d approvals", len(g.Approvals), g.Needs)
	}
	return fmt.Sprintf("already recorded: nothing changes (%d of %d approvals)", len(g.Approvals), g.Needs)
}

// sameAs returns a function that reports whether a name means the target of the request to approve.
func (a *Activities) sameAs(ctx context.Context, in DecideGrantInput, id string) (func(access.Entitlement) bool,
	error) {
	if !in.Approve {
		return nil, nil
	}
	g, err := a.env.Ledger.Grant(ctx, in.Org, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil // the decision says so
	}
	if err != nil {
		return nil, err
	}
	s, err := a.task(a.env.OpenInForce(ctx, in.Org))
	if err != nil {
		return nil, err
	}
	p, err := s.policyAsBound(ctx)
	if err != nil {
		return nil, err
	}
	return func(name access.Entitlement) bool { return p.SameTarget(g.Target, name) }, nil
}

func whyNotTheirs(err error) error {
	for _, why := range []error{review.ErrSelf, review.ErrRequesterUnknown} {
		if errors.Is(err, why) {
			return why
		}
	}
	return review.ErrNotApprover
}

func verb(approve bool) string {
	if approve {
		return messages.Approve
	}
	return messages.Deny
}

// proofOfDecision returns the proof that whoever knows the code makes of this decision.
func proofOfDecision(codeHash string, in DecideGrantInput) string {
	return messages.Proof(codeHash, messages.OrgSyncID(in.Org), verb(in.Approve), in.ApprovalInput)
}

// grantStands returns in a few words the state of a grant that no longer waits.
func grantStands(g access.Grant) string {
	switch {
	case g.State == access.GrantDenied:
		return "it is over: denied by " + g.Label(g.ClosedBy)
	case g.State == access.GrantExpired:
		return "it expired: nobody decided in time. Make a new request"
	case g.RemovedByHand:
		return "it is over: " + g.ClosedWhy
	case g.State == access.GrantEnded && g.ClosedBy != "":
		return "it is over: ended early by " + g.Label(g.ClosedBy)
	case g.State == access.GrantEnded:
		return "it is over since " + session.Timestamp(g.Until)
	}
	return "it is granted until " + session.Timestamp(g.Until)
}

// approvedNow reports whether the grant has this very approval.
func approvedNow(g access.Grant, d ledger.Decision) bool {
	return slices.ContainsFunc(g.Approvals, func(is access.Approval) bool {
		return is.At.Truncate(time.Microsecond).Equal(d.At.Truncate(time.Microsecond)) && is.By == d.By
	})
}

// tries is how often a decision is tried while the directory cannot be read.
const tries = 3

// approver returns the active account of the approver, as the directory shows it now.
func (a *Activities) approver(ctx context.Context, org, typed string) (string, error) {
	p, err := a.env.AccountNow(ctx, org, typed)
	switch {
	case session.IsNotFound(err), session.IsRefused(err):
		return "", session.Refusedf("by: %w", err)
	case err != nil && (activity.GetInfo(ctx).Attempt >= tries || !session.Retryable(err)):
		return "", session.Refusedf("the person who decides cannot be looked up at the moment, so nothing was decided; try again: %w",
			err)
	case err != nil:
		return "", err
	case !p.CanReceive():
		return "", session.Refusedf("%s is not active in organization %s, so this decision does not count", typed, org)
	}
	return p.ID, nil
}

// waiting returns the request that a decision is about.
func (a *Activities) waiting(ctx context.Context, in DecideGrantInput) (string, error) {
	if in.Request != "" {
		g, err := a.env.Ledger.Grant(ctx, in.Org, in.Request)
		if in.Key == "" && errors.Is(err, ledger.ErrNotFound) {
			return "", session.Refusedf("organization %s knows no request %q", in.Org, display.Shorten(in.Request, 120))
		}
		if in.Key == "" {
			return in.Request, err
		}
		if errors.Is(err, ledger.ErrNotFound) ||
			err == nil && (g.Key != in.Key && g.FormerKey != in.Key || !g.Target.Same(in.Target)) {
			return "", session.Refusedf("request %s is not one of this workflow; the details of the workflow name those that wait", in.Request)
		}
		return in.Request, err
	}
	open, err := a.env.GrantsUnder(ctx, in.Org, in.Key, in.Target)
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
		return "", session.Refusedf("no request waits for a decision")
	case 1:
		return ids[0], nil
	}
	return "", session.Refusedf("several requests wait; name one as request: %s", strings.Join(ids, ", "))
}

// RevokeGrantInput ends grants early.
type RevokeGrantInput struct {
	Org string `json:"org"`
	Key string `json:"key,omitempty"` // of the calling workflow; empty: the person tells
	messages.RevokeInput
}

// RevokeGrant ends grants now and wakes their workflows, which remove the access. Revoking is never refused because
// nobody knows the name of whoever asks for it. A repeat changes nothing.
func (a *Activities) RevokeGrant(ctx context.Context, in RevokeGrantInput) (messages.GrantAnswer, error) {
	defer session.AutoHeartbeat(ctx)()
	var answer messages.GrantAnswer
	var words []string
	if in.Request == "" && in.Key == "" {
		words = []string{in.Person}
	}
	who, err := a.env.LookUpAccounts(ctx, in.Org, append([]string{in.RequestedBy}, words...)...)
	if err != nil {
		return answer, err
	}
	open, err := a.revocable(ctx, in, who[1:])
	if err != nil {
		return answer, err
	}
	by := cmp.Or(who[0].Person.ID, in.RequestedBy)
	var failed error
	for _, g := range open {
		ended, err := a.env.Ledger.EndGrant(ctx, in.Org, g.ID, by, in.Reason, a.env.Now())
		if err != nil {
			failed = err // the others end all the same
			continue
		}
		answer.Grants = append(answer.Grants, ended)
	}
	if failed != nil {
		return answer, failed
	}
	if answer.Grants, err = a.env.WithNames(ctx, in.Org, answer.Grants...); err != nil {
		return answer, err
	}
	last := answer.Grants[len(answer.Grants)-1]
	answer.Workflow = messages.GrantID(in.Org, last.Target, last.Key)
	answer.Message = fmt.Sprintf("ended: %s loses %s, as far as grants give it, now; what anything else gives stays", session.PersonOf(last), last.Target)
	if err := a.show(ctx, in.Org, answer.Grants...); err != nil { // the grants are over all the same
		answer.Unreached = true
	}
	return answer, nil
}

// revocable returns the grants that are meant, including those that just ended; there is at least one. who is the
// person with the typed name.
func (a *Activities) revocable(ctx context.Context, in RevokeGrantInput, who []session.AccountLookup) ([]access.Grant,
	error) {
	if in.Request != "" {
		g, err := a.env.Ledger.Grant(ctx, in.Org, in.Request)
		if errors.Is(err, ledger.ErrNotFound) || err == nil && in.Key != "" && g.Key != in.Key && g.FormerKey != in.Key {
			return nil, session.Refusedf("request %s is not known here", in.Request)
		}
		return []access.Grant{g}, err
	}
	target, err := access.ParseEntitlement(string(in.Target))
	if err != nil {
		return nil, session.NonRetryable(session.ErrRefused, err)
	}
	if in.Key != "" {
		found, err := a.env.GrantsUnder(ctx, in.Org, in.Key, target)
		if err == nil && len(found) == 0 {
			err = session.Refusedf("%s has no open grant of %s", a.env.AccountLabel(ctx, in.Org, in.Key),
				in.Target)
		}
		return found, err
	}
	if err := who[0].Err; err != nil && !session.IsNotFound(err) {
		return nil, err
	}
	keys := []string{who[0].Person.ID}
	// somebody who was invited is stored under the address, whoever has it now
	if name, err := access.ReadName(in.Person); err == nil {
		keys = append(keys, name)
		if access.IsAddress(name) {
			keys = append(keys, strings.ToLower(name))
		}
	}
	var found []access.Grant
	for _, key := range session.Distinct(keys) {
		open, err := a.env.Ledger.GrantsOf(ctx, in.Org, key, target)
		if err != nil {
			return nil, err
		}
		found = append(found, open...)
	}
	if len(found) == 0 && who[0].Err != nil {
		return nil, session.Refusedf("%w", who[0].Err)
	}
	if len(found) == 0 {
		return nil, session.Refusedf("%s has no open grant of %s", cmp.Or(who[0].Person.Label(), in.Person),
			in.Target)
	}
	return found, nil
}
