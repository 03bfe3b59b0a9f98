package provisioning

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
)

// DecideInput asks for the next block of identities to be decided.
type DecideInput struct {
	RunInput
	After      string   `json:"after,omitempty"` // the last identity of the block before, "source:key"
	Block      int      `json:"block"`           // numbers the blocks
	Identities []string `json:"identities,omitempty"`
}

// DecideResult is where a block ended.
type DecideResult struct {
	Next   string `json:"next,omitempty"` // for the next block; empty: this was the last
	People int    `json:"people"`
}

// pagesInBlock is how many pages of identities one activity decides.
const pagesInBlock = 10

// What pages count for the findings of a run.
const (
	noteFinding  = "finding"  // a finding of package identity
	noteUnlinked = "unlinked" // a record has lost its account

	noteOverwritten = "overwritten" // somebody else changed a record
	noteDoubted     = "doubted"     // somebody would leave a group, and the source proves nothing
)

// DecideRecords decides a block of identities and stores the plan's lines and everybody's state in the ledger; the last
// block decides the directory's groups as well. A repeat replaces what it stored.
func (a *Activities) DecideRecords(ctx context.Context, in DecideInput) (DecideResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.env.Open(ctx, in.Org, in.Policy)
	if err != nil {
		return DecideResult{}, err
	}
	p, err := s.OpenProvision(ctx, in.Provision)
	if err != nil {
		return DecideResult{}, err
	}
	d := &decider{Provisioner: p, in: in}
	if d.adopted, err = p.Adopted(ctx); err != nil {
		return DecideResult{}, err
	}
	if d.groups, err = p.Groups(ctx); err != nil {
		return DecideResult{}, err
	}
	after, refs := ledger.ReadRef(in.After), refsOf(in.Identities)
	for page := 0; page < pagesInBlock; page++ {
		candidates, next, err := p.Candidates(ctx, after, refs)
		if err != nil {
			return DecideResult{}, err
		}
		if err := d.page(ctx, fmt.Sprintf("%04d-%04d", in.Block, page), candidates); err != nil {
			return DecideResult{}, err
		}
		activity.RecordHeartbeat(ctx, d.result.People)
		if next == (ledger.Ref{}) {
			return d.result, d.decideGroups(ctx)
		}
		after = next
	}
	d.result.Next = after.String()
	return d.result, nil
}

// decider decides a block.
type decider struct {
	*session.Provisioner
	in      DecideInput
	adopted bool            // the provision's first plan was approved: whoever is in step already is bound
	groups  *session.Groups // nil: the provision has none
	result  DecideResult
}

// page decides a page of people.
func (d *decider) page(ctx context.Context, key string, candidates []session.Candidate) error {
	known, err := d.known(ctx, candidates)
	if err != nil {
		return err
	}
	var rejected []access.Change
	for _, s := range known {
		rejected = append(rejected, s.Rejected...)
	}
	page := ledger.Page{Key: key, Notes: ledger.Notes{}, Observe: d.in.Preview}
	var states []ledger.ProvisionedState
	var inStep []session.Match
	var all []decided
	for _, c := range candidates {
		decision := d.Decide.Resolve(c.Person, d.Now())
		d.result.People++
		all = append(all, decided{c, decision})
		states = append(states, stateOf(c, decision))
		for _, n := range decision.Notes {
			page.Notes.Add(noteFinding, string(n.Finding))
			if n.Finding == identity.FindUnlinked {
				page.Notes.Add(noteUnlinked)
			}
		}
		line, asks := d.Line(c, decision)
		switch {
		case asks && slices.ContainsFunc(rejected, func(r access.Change) bool { return sameChange(r, line) }):
			page.Suppressed++
		case asks:
			if err := d.noteWriter(ctx, page.Notes, c, line); err != nil {
				return err
			}
			if d.Decide.Observe {
				line.State = access.Observed
			}
			page.Changes = append(page.Changes, line)
		case d.adopted && !d.in.Preview && decision.Action == identity.Keep && decision.Record != "" &&
			decision.State != identity.Duplicate && decision.Presence == identity.Enabled:
			inStep = append(inStep, session.Match{Person: c, Record: decision.Record})
		}
	}
	if err := d.BindEach(ctx, inStep); err != nil {
		return err
	}
	if err := d.memberships(ctx, &page, all, known); err != nil {
		return err
	}
	slices.SortFunc(page.Changes, func(a, b access.Change) int { return strings.Compare(a.Person, b.Person) })
	if err := d.Ledger.SavePage(ctx, d.Org, d.in.Run, page, d.Now()); err != nil {
		return err
	}
	if d.in.Preview {
		return nil
	}
	return d.Ledger.SetPersonStates(ctx, d.Org, d.Spec.Name, d.in.Run, states)
}

// noteWriter notes whether somebody else changed what Castellan last wrote to the record of a line.
func (d *decider) noteWriter(ctx context.Context, notes ledger.Notes, c session.Candidate, line access.Change) error {
	if line.Action != access.Update {
		return nil
	}
	for _, person := range []string{line.Person, c.Lead.String()} {
		last, err := d.Ledger.LastWrite(ctx, d.Org, person, line.Target)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if session.Overwritten(last, line) {
			notes.Add(noteFinding, string(identity.FindOverwritten))
			notes.Add(noteOverwritten)
		}
		return nil
	}
	return nil
}

// known returns what the ledger knows of these people, by their accounts and identities.
func (d *decider) known(ctx context.Context, candidates []session.Candidate) (map[string]ledger.PersonState, error) {
	var people []string
	for _, c := range candidates {
		people = append(people, c.Lead.String())
		for _, a := range c.Accounts {
			people = append(people, string(a.ID))
		}
		for _, r := range c.Records {
			people = append(people, string(r.Account))
		}
	}
	return d.Ledger.States(ctx, d.Org, session.EachOnce(people), d.Now().Add(-session.OwnSince))
}

// sameChange reports whether two changes are the same, values included: whoever rejected one has not seen the other.
func sameChange(a, b access.Change) bool {
	return a.Person == b.Person && a.Target == b.Target && a.Action == b.Action && slices.Equal(a.Edits, b.Edits)
}

// stateOf is what becomes known of a person.
func stateOf(c session.Candidate, d identity.Decision) ledger.ProvisionedState {
	s := ledger.ProvisionedState{Source: c.Lead.Source, Key: c.Lead.Key, State: string(d.State),
		Account: string(d.Account), Record: string(d.Record)}
	var details []string
	for _, n := range d.Notes {
		details = append(details, n.Detail)
	}
	s.Detail = bounded(strings.Join(details, "; "))
	return s
}

// mostDetail is how many bytes of what was found the ledger keeps with a person.
const mostDetail = 1000

func bounded(text string) string {
	if len(text) <= mostDetail {
		return text
	}
	return strings.ToValidUTF8(text[:mostDetail], "") + "…"
}

func refsOf(texts []string) []ledger.Ref {
	var refs []ledger.Ref
	for _, text := range texts {
		refs = append(refs, ledger.ReadRef(text))
	}
	return refs
}
