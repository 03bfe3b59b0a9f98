package provisioning

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/account"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// NextWaveInput asks for the next people of a batch.
type NextWaveInput struct {
	LinkRunInput
	Wave  int       `json:"wave"`
	Size  int       `json:"size"`
	Since time.Time `json:"since"` // of the preview
}

// NextWaveResult is the next wave.
type NextWaveResult struct {
	Identities []string `json:"identities,omitempty"` // "source:key"; none: the batch is through
	// Surprise is what differs from the preview, in five lines at most: nothing of the wave may be written.
	Surprise []string `json:"surprise,omitempty"`
}

// NextWave gives the next people of an approved batch to a wave, if their accounts are as the preview shows them, and
// the policy is that of the preview. A repeat returns those of the wave, or the surprise, again.
//
// Calls: one for a hundred people.
func (a *Activities) NextWave(ctx context.Context, in NextWaveInput) (NextWaveResult, error) {
	defer session.AutoHeartbeat(ctx)()
	before, err := a.env.Ledger.Links(ctx, in.Org, in.Batch, messages.LinkSurprise, ledger.Ref{}, mostSurprises)
	if err != nil || len(before) > 0 { // an attempt whose answer was lost met them
		return NextWaveResult{Surprise: surprises(before)}, err
	}
	pending, err := a.env.Ledger.Links(ctx, in.Org, in.Batch, messages.LinkPending, ledger.Ref{}, in.Size)
	if err != nil || len(pending) == 0 {
		return NextWaveResult{}, err
	}
	s, err := a.env.OpenInForce(ctx, in.Org)
	if err != nil {
		return NextWaveResult{}, err
	}
	if s.Current != in.Policy {
		return NextWaveResult{Surprise: []string{
			"another policy is in force than that of the preview: start the batch again for a preview under it"}}, nil
	}
	p, err := s.OpenProvision(ctx, in.Provision)
	if err != nil {
		return NextWaveResult{}, err
	}
	w := &waveCheck{Provisioner: p, in: CheckWaveInput{LinkRunInput: in.LinkRunInput, Since: in.Since}}
	if err := w.read(ctx, pending); err != nil {
		return NextWaveResult{}, err
	}
	var result NextWaveResult
	for i := range pending {
		differs, err := w.accountDiffers(ctx, pending[i])
		if err != nil {
			return NextWaveResult{}, err
		}
		if differs != "" {
			surprise(&pending[i], differs+"; nothing was written")
		}
		result.Identities = append(result.Identities, pending[i].Ref().String())
	}
	if result.Surprise = surprises(pending); len(result.Surprise) > 0 {
		result.Identities = nil
	}
	for i := range pending {
		if len(result.Identities) > 0 {
			pending[i].Wave = in.Wave
		}
	}
	return result, s.Ledger.SaveLinks(ctx, in.Org, in.Batch, in.Run, pending)
}

// CheckWaveInput asks what became of a wave.
type CheckWaveInput struct {
	LinkRunInput
	Identities []string  `json:"identities"`
	Since      time.Time `json:"since"`          // of the preview
	Last       bool      `json:"last,omitempty"` // what is not seen now counts as a surprise
}

// CheckWaveResult is what became of a wave.
type CheckWaveResult struct {
	Open     int                   `json:"open"`               // lines that are not written yet
	Unseen   int                   `json:"unseen"`             // written, and not seen to be linked yet
	Surprise []string              `json:"surprise,omitempty"` // what the preview does not show, five of them at most
	Counts   []messages.StateCount `json:"counts"`
	Gap      int                   `json:"gap"`
}

// mostSurprises is how many surprises are told; the ledger has all.
const mostSurprises = 5

// CheckWave compares what became of a wave with what the preview shows: each record must be linked to the very account,
// which must have kept its groups and roles. A repeat compares again.
//
// Calls: one for a hundred people, and one for each record that is not seen to be linked yet.
func (a *Activities) CheckWave(ctx context.Context, in CheckWaveInput) (CheckWaveResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.env.OpenInForce(ctx, in.Org)
	if err != nil {
		return CheckWaveResult{}, err
	}
	p, err := s.OpenProvision(ctx, in.Provision)
	if err != nil {
		return CheckWaveResult{}, err
	}
	links, err := s.Ledger.LinksOf(ctx, in.Org, in.Batch, refsOf(in.Identities))
	if err != nil {
		return CheckWaveResult{}, err
	}
	w := &waveCheck{Provisioner: p, in: in}
	if err := w.read(ctx, links); err != nil {
		return CheckWaveResult{}, err
	}
	for i := range links {
		if links[i].Outcome != messages.LinkPending {
			continue
		}
		if err := w.person(ctx, &links[i]); err != nil {
			return CheckWaveResult{}, err
		}
	}
	w.result.Surprise = surprises(links) // those of an attempt whose answer was lost, too
	if err := s.Ledger.SaveLinks(ctx, in.Org, in.Batch, in.Run, links); err != nil {
		return CheckWaveResult{}, err
	}
	if w.result.Gap, err = p.Gap(ctx); err != nil {
		return CheckWaveResult{}, err
	}
	w.result.Counts, err = a.linkCounts(ctx, in.LinkRunInput)
	return w.result, err
}

// waveCheck is a wave being compared.
type waveCheck struct {
	*session.Provisioner
	in     CheckWaveInput
	now    *accountsNow
	result CheckWaveResult
}

// read reads the wave's accounts as they are now.
func (w *waveCheck) read(ctx context.Context, links []ledger.Link) (err error) {
	ids := make([]string, len(links))
	for i, k := range links {
		ids[i] = k.Account
	}
	w.now, err = readAccounts(ctx, w.Session, ids)
	return err
}

// person compares one person.
func (w *waveCheck) person(ctx context.Context, k *ledger.Link) error {
	line, err := w.Ledger.Line(ctx, w.Org, w.in.Run, k.Account, access.RecordTarget(w.Spec.Name))
	if err != nil {
		return err
	}
	record, err := w.recordOf(ctx, *k)
	if err != nil {
		return err
	}
	switch {
	case line.State.Open():
		w.result.Open++
		return nil
	case line.State == access.Superseded && record.Account == k.Account && record.Account != "":
		k.Outcome, k.Detail = messages.LinkAlready, "another run has linked them in the meantime"
	case line.State == access.Superseded:
		k.Outcome, k.Detail = messages.LinkLeft, bounded("the source, the record or the policy changed since the preview: "+
			"start the batch again to preview anew ("+line.Answer+")")
		return nil
	case line.State != access.Done:
		surprise(k, "it was not written: "+line.Answer)
		return nil
	case record.Account == "" && !w.in.Last:
		w.result.Unseen++
		return nil
	case record.Account == "":
		surprise(k, "the record is not linked to any account")
		return nil
	default:
		k.Outcome, k.Detail = messages.LinkLinked, ""
	}
	k.Record = record.ID
	differs, err := w.differs(ctx, *k, record)
	if err != nil || differs == "" {
		return err
	}
	if _, shown := w.now.accounts[k.Account]; !shown && !w.in.Last {
		k.Outcome = messages.LinkPending
		w.result.Unseen++
		return nil
	}
	surprise(k, differs)
	return nil
}

// surprise notes that somebody is not as the preview shows.
func surprise(k *ledger.Link, what string) {
	k.Outcome, k.Detail = messages.LinkSurprise, bounded(what)
}

// surprises tells the first of those who are not as the preview shows.
func surprises(links []ledger.Link) (told []string) {
	for _, k := range links {
		if k.Outcome == messages.LinkSurprise && len(told) < mostSurprises {
			told = append(told, k.Address+": "+k.Detail)
		}
	}
	return told
}

// recordOf returns the record that a person is bound to by now; it is asked for again while it is not linked.
func (w *waveCheck) recordOf(ctx context.Context, k ledger.Link) (ledger.Record, error) {
	bound, err := w.Ledger.Bindings(ctx, w.Org, w.Spec.Name, []ledger.Ref{k.Ref()})
	id := bound[k.Ref()].Record
	if err != nil || id == "" {
		return ledger.Record{}, err
	}
	find := func() (ledger.Record, error) {
		found, err := w.Ledger.FindRecords(ctx, w.Org, w.Spec.Directory.ID, ledger.RecordQuery{IDs: []string{id}})
		if err != nil || len(found) == 0 {
			return ledger.Record{}, err
		}
		return found[0], nil
	}
	record, err := find()
	if err != nil || record.Account != "" {
		return record, err
	}
	r := &reader{Provisioner: w.Provisioner, directory: w.Spec.Directory.ID}
	if err := r.lookUp(ctx, id); err != nil {
		return record, session.WrapSCIMError("read record "+id, err)
	}
	return find()
}

// differs says how record and account are not as the preview shows them; "": they are.
func (w *waveCheck) differs(ctx context.Context, k ledger.Link, record ledger.Record) (string, error) {
	if record.Account != k.Account {
		return fmt.Sprintf("record %s is linked to account %s, and not to %s", record.ID, record.Account, k.Account), nil
	}
	return w.accountDiffers(ctx, k)
}

// accountDiffers says how an account is not as the preview shows it; "": it is.
func (w *waveCheck) accountDiffers(ctx context.Context, k ledger.Link) (string, error) {
	var before messages.LinkBefore
	if err := json.Unmarshal(k.Shown, &before); err != nil {
		return "", err
	}
	now, shown := w.now.accounts[k.Account]
	switch {
	case !shown:
		return "the directory does not show account " + k.Account + " any more", nil
	case now.AccountStatus != "" && now.AccountStatus != account.StatusActive:
		return "account " + k.Account + " is " + now.AccountStatus, nil
	case k.Wave == 0 && now.Email != "" && !access.SameAddress(now.Email, k.Address):
		return "account " + k.Account + " has the address " + now.Email + " by now", nil
	}
	was, is := w.targets(before.Groups, before.Roles), w.targets(w.now.kept(now), rolesOf(now))
	var changes []string
	for _, target := range slices.Concat(was, is) {
		had, has := slices.Contains(was, target), slices.Contains(is, target)
		if had == has {
			continue
		}
		action, verb := access.Remove, "is gone"
		if has {
			action, verb = access.Add, "is new"
		}
		own, err := w.ownChange(ctx, k.Account, target, action)
		if err != nil {
			return "", err
		}
		if !own {
			changes = append(changes, fmt.Sprintf("%s %s", target, verb))
		}
	}
	return strings.Join(changes, "; "), nil
}

// targets returns groups and roles as what plans call them.
func (w *waveCheck) targets(groups, roles []string) (all []access.Entitlement) {
	for _, id := range groups {
		all = append(all, access.GroupEntitlement(w.now.name(id)))
	}
	for _, role := range roles {
		if role == access.RoleOrgAdmin {
			all = append(all, access.OrgAdmin)
		} else {
			all = append(all, access.Entitlement("role:"+role))
		}
	}
	return all
}

// ownChange reports whether a change since the preview is one that Castellan made itself, by a mapping, rule or grant.
func (w *waveCheck) ownChange(ctx context.Context, id string, target access.Entitlement,
	action access.Action) (bool, error) {
	last, err := w.Ledger.LastWrite(ctx, w.Org, id, target)
	if errors.Is(err, ledger.ErrNotFound) {
		return false, nil
	}
	return err == nil && last.Action == action && last.At.After(w.in.Since), err
}
