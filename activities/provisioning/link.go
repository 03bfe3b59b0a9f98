package provisioning

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/account"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// LinkRunInput identifies a link batch, whose lines belong to a run.
type LinkRunInput struct {
	RunInput
	Batch string `json:"batch"`
}

// PickLinksInput begins a link batch.
type PickLinksInput struct {
	LinkRunInput           // without a policy: that in force
	People       []string  `json:"people,omitempty"` // as in messages.LinkInput
	Most         int       `json:"most"`
	By           string    `json:"by"`
	Note         string    `json:"note,omitempty"`
	Started      time.Time `json:"started"`
}

// PickLinksResult is what a batch begins with.
type PickLinksResult struct {
	Policy string `json:"policy"` // hash of the one in force
	People int    `json:"people"`
	Gap    int    `json:"gap"`
	// ReadOnly is why nothing of the batch could be written; "": it can.
	ReadOnly string `json:"readOnly,omitempty"`
}

// PickLinks begins a link batch: it finds the people to link, stores them, and reads their records. Names
// that lead to nobody in the provision's sources are refused, all of them at once. A repeat picks again.
//
// Calls: one for a hundred names; one or two for each person, or records/100 if they are more than a hundred.
func (a *Activities) PickLinks(ctx context.Context, in PickLinksInput) (PickLinksResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.env.OpenInForce(ctx, in.Org)
	if errors.Is(err, ledger.ErrNotFound) {
		err = session.NotFoundf("no organization %q is known here; start it with `starter apply FILE`", in.Org)
	}
	if err != nil {
		return PickLinksResult{}, err
	}
	p, err := s.OpenProvision(ctx, in.Provision)
	if err != nil {
		return PickLinksResult{}, err
	}
	picker := &linkPicker{Provisioner: p, in: in}
	refs, err := picker.pick(ctx)
	if err != nil {
		return PickLinksResult{}, err
	}
	result := PickLinksResult{Policy: s.Current, People: len(refs), ReadOnly: picker.readOnly()}
	trigger := strings.TrimSpace("link batch " + in.Batch + " " + in.Note)
	if err := s.Ledger.BeginRun(ctx, ledger.Run{Org: in.Org, ID: in.Run, Trigger: trigger,
		Scope: messages.ScopeProvision, Policy: s.Current, By: in.By, State: messages.RunReading,
		Started: in.Started}); err != nil {
		return PickLinksResult{}, err
	}
	if err := picker.save(ctx, refs); err != nil {
		return PickLinksResult{}, err
	}
	r := &reader{Provisioner: p, directory: p.Spec.Directory.ID}
	if len(refs) > session.PageSize {
		err = r.all(ctx)
	} else {
		err = r.few(ctx, refs)
	}
	if err != nil {
		return PickLinksResult{}, session.WrapSCIMError("read SCIM directory "+r.directory, err)
	}
	result.Gap, err = p.Gap(ctx)
	return result, err
}

// linkPicker finds the people of a batch.
type linkPicker struct {
	*session.Provisioner
	in PickLinksInput
}

// readOnly returns why nothing can be written.
func (p *linkPicker) readOnly() string {
	switch {
	case p.Policy.DryRun:
		return "the policy says dryRun: true"
	case p.Decide.Observe:
		return fmt.Sprintf("provision %s only observes: its directory.mode is observe", p.Spec.Name)
	}
	return ""
}

func (p *linkPicker) pick(ctx context.Context) (refs []ledger.Ref, err error) {
	if len(p.in.People) > 0 {
		return identitiesNamed(ctx, p.Provisioner, p.in.People)
	}
	for after := (ledger.Ref{}); len(refs) < p.in.Most; {
		states, err := p.Ledger.PersonStates(ctx, p.Org, p.Spec.Name, string(identity.JITOnly), after,
			min(p.in.Most-len(refs), session.LinesAtOnce))
		if err != nil || len(states) == 0 {
			return refs, err
		}
		for _, s := range states {
			after = ledger.Ref{Source: s.Source, Key: s.Key}
			refs = append(refs, after)
		}
	}
	return refs, nil
}

// save stores the people of the batch in place of those of an earlier attempt, and reads the accounts of their
// addresses: those of logins since the last full verification are not known yet.
func (p *linkPicker) save(ctx context.Context, refs []ledger.Ref) error {
	if err := p.Ledger.BeginLinks(ctx, p.Org, p.in.Batch, p.in.Run); err != nil {
		return err
	}
	found, err := p.Ledger.Identities(ctx, p.Org, refs)
	if err != nil {
		return err
	}
	var links []ledger.Link
	var addresses []string
	for _, one := range found {
		links = append(links, ledger.Link{Source: one.Source, Key: one.Key, Address: one.Address,
			Outcome: messages.LinkPending})
		if one.Account == "" && one.Address != "" {
			addresses = append(addresses, one.Address)
		}
	}
	people, err := p.ByName(ctx, nil, addresses)
	if err != nil {
		return err
	}
	if err := p.Ledger.KeepPeople(ctx, p.Org, people, p.Now()); err != nil {
		return err
	}
	return p.Ledger.SaveLinks(ctx, p.Org, p.in.Batch, p.in.Run, links)
}

// linksAtOnce is how many people are previewed in one piece.
const linksAtOnce = 100

// PreviewLinksInput asks for the next piece of a batch's preview.
type PreviewLinksInput struct {
	LinkRunInput
	After string `json:"after,omitempty"` // the last one of the piece before, "source:key"
}

// PreviewLinksResult is where a piece ended.
type PreviewLinksResult struct {
	Next   string `json:"next,omitempty"` // for the next piece; empty: this was the last
	People int    `json:"people"`
}

// PreviewLinks decides a piece of a batch, and stores what linking would change and what must stay as it is. The plan's
// lines are held. A repeat replaces what it stored.
//
// Calls: one for a hundred people, and one for each managed account.
func (a *Activities) PreviewLinks(ctx context.Context, in PreviewLinksInput) (PreviewLinksResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.env.Open(ctx, in.Org, in.Policy)
	if err != nil {
		return PreviewLinksResult{}, err
	}
	p, err := s.OpenProvision(ctx, in.Provision)
	if err != nil {
		return PreviewLinksResult{}, err
	}
	links, err := s.Ledger.Links(ctx, in.Org, in.Batch, "", ledger.ReadRef(in.After), linksAtOnce)
	if err != nil || len(links) == 0 {
		return PreviewLinksResult{}, err
	}
	v := &linkPreview{Provisioner: p, in: in}
	if err := v.preview(ctx, links); err != nil {
		return PreviewLinksResult{}, err
	}
	result := PreviewLinksResult{People: len(links)}
	if len(links) == linksAtOnce {
		result.Next = links[len(links)-1].Ref().String()
	}
	return result, nil
}

// linkPreview is a piece of a preview being made.
type linkPreview struct {
	*session.Provisioner
	in  PreviewLinksInput
	now *accountsNow
}

func (v *linkPreview) preview(ctx context.Context, links []ledger.Link) error {
	refs := make([]ledger.Ref, len(links))
	for i, k := range links {
		refs[i] = k.Ref()
	}
	candidates, _, err := v.Candidates(ctx, ledger.Ref{}, refs)
	if err != nil {
		return err
	}
	decisions := map[ledger.Ref]identity.Decision{}
	of := map[ledger.Ref]session.Candidate{}
	var accounts []string
	for _, c := range candidates {
		d := v.Decide.Resolve(c.Person, v.Now())
		ref := ledger.Ref{Source: c.Lead.Source, Key: c.Lead.Key}
		decisions[ref], of[ref] = d, c
		if d.Account != "" {
			accounts = append(accounts, string(d.Account))
		}
	}
	if v.now, err = readAccounts(ctx, v.Session, accounts); err != nil {
		return err
	}
	page := ledger.Page{Key: "link " + v.in.After, Notes: ledger.Notes{}, Observe: true}
	begun := map[string]bool{} // accounts with a line: somebody may be named twice
	for i := range links {
		k := &links[i]
		d, known := decisions[k.Ref()]
		if !known {
			k.Outcome, k.Detail = messages.LinkNot, "they are no longer in any source of the provision"
			continue
		}
		v.person(k, d)
		if k.Outcome != messages.LinkPending {
			continue
		}
		line, _ := v.Line(of[k.Ref()], d)
		if begun[line.Person] {
			k.Outcome, k.Detail = messages.LinkNot, "the same account is already in the batch, with another identity"
			continue
		}
		begun[line.Person] = true
		line.State, line.HeldBy = access.Held, append(line.HeldBy, string(identity.HoldLink))
		slices.Sort(line.HeldBy)
		if k.Shown, err = v.shown(ctx, d, v.now.accounts[k.Account]); err != nil {
			return err
		}
		page.Changes = append(page.Changes, line)
		activity.RecordHeartbeat(ctx, len(page.Changes))
	}
	slices.SortFunc(page.Changes, func(a, b access.Change) int { return strings.Compare(a.Person, b.Person) })
	if err := v.Ledger.SavePage(ctx, v.Org, v.in.Run, page, v.Now()); err != nil {
		return err
	}
	return v.Ledger.SaveLinks(ctx, v.Org, v.in.Batch, v.in.Run, links)
}

// person says what becomes of one person: linked is who has an account and no record, and ought to have one.
func (v *linkPreview) person(k *ledger.Link, d identity.Decision) {
	k.Account, k.Record = string(d.Account), string(d.Record)
	if a, known := v.now.accounts[k.Account]; known {
		k.Address = a.Email
	}
	not := func(format string, args ...any) {
		k.Outcome, k.Detail = messages.LinkNot, bounded(fmt.Sprintf(format, args...))
	}
	switch {
	case d.Record != "" && d.Account != "":
		k.Outcome, k.Detail = messages.LinkAlready, ""
	case d.Record != "":
		not("record %s has no account, and writing to it would not link one; see Atlassian's procedure for accounts that "+
			"lost their link", d.Record)
	case d.Presence != identity.Enabled:
		not("they are %s in the source", d.Presence)
	case d.Action != identity.Create:
		var why []string
		for _, n := range d.Notes {
			why = append(why, string(n.Finding)+": "+n.Detail)
		}
		not("%s", strings.Join(why, "; "))
	case d.Account == "":
		not("they have no account: the provision creates record and account")
	default:
		if _, known := v.now.accounts[k.Account]; !known {
			not("the directory does not show account %s now", k.Account)
			return
		}
		if status := v.now.accounts[k.Account].AccountStatus; status != "" && status != account.StatusActive {
			not("account %s is %s, and a record would activate it: activate it at Atlassian first, if that is meant",
				k.Account, status)
			return
		}
		k.Outcome, k.Detail = messages.LinkPending, ""
	}
}
