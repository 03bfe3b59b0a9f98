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
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
)

// JudgeLinksInput asks what waits for approval.
type JudgeLinksInput struct {
	LinkRunInput
	Observe bool `json:"observe,omitempty"` // nothing can be written: nothing waits
}

// JudgeLinksResult is what waits for approval.
type JudgeLinksResult struct {
	Hold   *messages.Hold        `json:"hold,omitempty"` // nil: nobody is to be linked
	Counts []messages.StateCount `json:"counts"`
}

// JudgeLinks opens the hold on the batch's plan. A repeat finds it open.
func (a *Activities) JudgeLinks(ctx context.Context, in JudgeLinksInput) (JudgeLinksResult, error) {
	defer session.AutoHeartbeat(ctx)()
	hold := ledger.Hold{Org: in.Org, Lane: ledger.LaneOfBatch(in.Batch), Run: in.Run, Opened: a.env.Now()}
	hash, rules := plan.NewHasher(), map[string]int{}
	lines := &session.Session{Env: a.env, Org: in.Org}
	if err := lines.EachLine(ctx, in.Run, []access.ChangeState{access.Held}, func(c access.Change) error {
		hold.Adds++
		hold.People++
		for _, rule := range c.HeldBy {
			rules[rule]++
		}
		return hash.Add(c)
	}); err != nil {
		return JudgeLinksResult{}, err
	}
	result, err := JudgeLinksResult{}, error(nil)
	if result.Counts, err = a.linkCounts(ctx, in.LinkRunInput); err != nil || hold.People == 0 || in.Observe {
		return result, err
	}
	hold.Plan = hash.Sum()
	if err := a.env.Ledger.UpdateRun(ctx, ledger.Run{Org: in.Org, ID: in.Run, State: messages.RunApplying,
		Plan: hold.Plan, Counts: ledger.Counts{People: hold.People, Adds: hold.Adds, Held: hold.Adds}}); err != nil {
		return result, err
	}
	for _, rule := range session.SortedKeys(rules) {
		hold.Rules = append(hold.Rules, ledger.HoldRule{Rule: rule, Scope: "provision " + in.Provision,
			Detail: fmt.Sprintf("%d people: %s", rules[rule], identity.Hold(rule).Explain())})
	}
	result.Hold = &messages.Hold{Plan: hold.Plan, Run: hold.Run, Adds: hold.Adds, People: hold.People,
		Opened: hold.Opened, Provision: in.Provision}
	for _, r := range hold.Rules {
		result.Hold.Rules = append(result.Hold.Rules, r.Rule+": "+r.Detail)
	}
	return result, a.env.Ledger.OpenHold(ctx, hold)
}

func (a *Activities) linkCounts(ctx context.Context, in LinkRunInput) (counts []messages.StateCount, err error) {
	found, err := a.env.Ledger.LinkCounts(ctx, in.Org, in.Batch)
	for _, outcome := range session.SortedKeys(found) {
		counts = append(counts, messages.StateCount{State: outcome, Count: found[outcome]})
	}
	return counts, err
}

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
// the policy is that of the preview. A repeat returns those of the wave again.
//
// Calls: one for a hundred people.
func (a *Activities) NextWave(ctx context.Context, in NextWaveInput) (NextWaveResult, error) {
	defer session.AutoHeartbeat(ctx)()
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
	w := &waveCheck{Provisioner: p, in: CheckWaveInput{LinkRunInput: in.LinkRunInput, Since: in.Since},
		accounts: map[string]access.Person{}}
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
			w.surprise(&pending[i], differs+"; nothing was written")
			continue
		}
		pending[i].Wave = in.Wave
		result.Identities = append(result.Identities, pending[i].Ref().String())
	}
	if result.Surprise = w.result.Surprise; len(result.Surprise) > 0 {
		result.Identities = nil
		for i := range pending {
			pending[i].Wave = 0
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
	w := &waveCheck{Provisioner: p, in: in, accounts: map[string]access.Person{}}
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
	in       CheckWaveInput
	kept     *keptGroups
	accounts map[string]access.Person
	result   CheckWaveResult
}

// read reads the wave's accounts as they are now.
func (w *waveCheck) read(ctx context.Context, links []ledger.Link) (err error) {
	if w.kept, err = keptOf(ctx, w.Session); err != nil {
		return err
	}
	var ids []string
	for _, k := range links {
		ids = append(ids, k.Account)
	}
	people, err := w.ReadPeople(ctx, session.Distinct(ids))
	for _, p := range people {
		w.accounts[p.ID] = p
	}
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
		w.surprise(k, "it was not written: "+line.Answer)
		return nil
	case record.Account == "" && !w.in.Last:
		w.result.Unseen++
		return nil
	case record.Account == "":
		w.surprise(k, "the record is not linked to any account")
		return nil
	default:
		k.Outcome, k.Detail = messages.LinkLinked, ""
	}
	k.Record = record.ID
	differs, err := w.differs(ctx, *k, record)
	if err != nil || differs == "" {
		return err
	}
	if _, shown := w.accounts[k.Account]; !shown && !w.in.Last {
		k.Outcome = messages.LinkPending
		w.result.Unseen++
		return nil
	}
	w.surprise(k, differs)
	return nil
}

func (w *waveCheck) surprise(k *ledger.Link, what string) {
	k.Outcome, k.Detail = messages.LinkSurprise, bounded(what)
	if len(w.result.Surprise) < mostSurprises {
		w.result.Surprise = append(w.result.Surprise, k.Address+": "+k.Detail)
	}
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
	now, shown := w.accounts[k.Account]
	switch {
	case !shown:
		return "the directory does not show account " + k.Account + " any more", nil
	case now.AccountStatus != "" && now.AccountStatus != activeAccount:
		return "account " + k.Account + " is " + now.AccountStatus, nil
	case k.Wave == 0 && now.Email != "" && !access.SameAddress(now.Email, k.Address):
		return "account " + k.Account + " has the address " + now.Email + " by now", nil
	}
	was, is := w.targets(before.Groups, before.Roles), w.targets(w.kept.of(now), rolesOf(now))
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
		all = append(all, access.GroupEntitlement(w.kept.name(id)))
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
func (w *waveCheck) ownChange(ctx context.Context, account string, target access.Entitlement,
	action access.Action) (bool, error) {
	last, err := w.Ledger.LastWrite(ctx, w.Org, account, target)
	if errors.Is(err, ledger.ErrNotFound) {
		return false, nil
	}
	return err == nil && last.Action == action && last.At.After(w.in.Since), err
}

// EndLinksInput ends a batch.
type EndLinksInput struct {
	LinkRunInput
	State string `json:"state"` // of the batch
	// LinesOnly: what was not written is not written any more; what became of the rest is found out before the end.
	LinesOnly bool `json:"linesOnly,omitempty"`
}

// EndLinksResult is how a batch ended.
type EndLinksResult struct {
	Counts []messages.StateCount `json:"counts"`
}

// EndLinks closes a batch: its hold, the lines that were not written, its people whom nothing was tried for, and its
// run. A repeat finds it closed.
func (a *Activities) EndLinks(ctx context.Context, in EndLinksInput) (EndLinksResult, error) {
	defer session.AutoHeartbeat(ctx)()
	l := a.env.Ledger
	if err := l.CloseHoldIn(ctx, in.Org, ledger.LaneOfBatch(in.Batch), "the batch has ended: "+in.State); err != nil {
		return EndLinksResult{}, err
	}
	why := "the link batch ended before: " + in.State
	left := ledger.Filter{States: []access.ChangeState{access.Held, access.Planned}, Limit: session.LinesAtOnce}
	for more := true; more; {
		lines, err := l.Lines(ctx, in.Org, in.Run, left)
		if err != nil {
			return EndLinksResult{}, err
		}
		for i := range lines {
			lines[i].State, lines[i].Answer = access.Superseded, why
			left.After = session.KeyOf(lines[i])
		}
		if err := l.UpdateLines(ctx, in.Org, in.Run, lines); err != nil {
			return EndLinksResult{}, err
		}
		more = len(lines) == session.LinesAtOnce
	}
	if in.LinesOnly {
		return EndLinksResult{}, nil
	}
	for more := true; more; {
		pending, err := l.Links(ctx, in.Org, in.Batch, messages.LinkPending, ledger.Ref{}, session.LinesAtOnce)
		if err != nil {
			return EndLinksResult{}, err
		}
		for i := range pending {
			pending[i].Outcome, pending[i].Detail = messages.LinkLeft, why
		}
		if err := l.SaveLinks(ctx, in.Org, in.Batch, in.Run, pending); err != nil {
			return EndLinksResult{}, err
		}
		more = len(pending) == session.LinesAtOnce
	}
	if err := a.endLinkRun(ctx, in); err != nil {
		return EndLinksResult{}, err
	}
	counts, err := a.linkCounts(ctx, in.LinkRunInput)
	return EndLinksResult{counts}, err
}

// endLinkRun ends the run of a batch, unless its last wave has.
func (a *Activities) endLinkRun(ctx context.Context, in EndLinksInput) error {
	run, err := a.env.Ledger.Run(ctx, in.Org, in.Run)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && !run.Ended.IsZero() {
		return nil
	}
	if err != nil {
		return err
	}
	run.State, run.Ended = messages.RunDone, a.env.Now()
	if in.State != messages.LinkDone {
		run.State = messages.RunStopped
	}
	return a.env.Ledger.EndRun(ctx, run)
}

// FindIdentitiesInput names people of a provision.
type FindIdentitiesInput struct {
	Org       string   `json:"org"`
	Provision string   `json:"provision"`
	People    []string `json:"people"` // as in messages.ProvisionNowInput
}

// FindIdentities returns the identities of people, as "source:key". Names that lead to nobody are refused.
func (a *Activities) FindIdentities(ctx context.Context, in FindIdentitiesInput) (names []string, err error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.env.OpenInForce(ctx, in.Org)
	if err != nil {
		return nil, err
	}
	p, err := s.OpenProvision(ctx, in.Provision)
	if err != nil {
		return nil, err
	}
	refs, err := (&linkPicker{Provisioner: p, in: PickLinksInput{People: in.People}}).named(ctx)
	for _, r := range refs {
		names = append(names, r.String())
	}
	return names, err
}
