package reports

import (
	"context"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/attribute"
	"github.com/castellan-io/castellan/policy/provision"
)

// identityNamed returns the identity of a typed name such as corp:KEY; is is false for a name of another form.
func (e *explanation) identityNamed(ctx context.Context, typed string) (one ledger.BoundIdentity, is bool, err error) {
	ref := ledger.ReadRef(typed)
	if ref.Key == "" || e.Policy.Source(ref.Source) == nil {
		return one, false, nil
	}
	found, err := e.Ledger.Identities(ctx, e.Org, []ledger.Ref{ref})
	if err == nil && len(found) == 0 {
		err = session.NotFoundf("source %s never showed anybody with the key %q: %s lists everybody", ref.Source, ref.Key,
			display.Starter("identities", e.Org))
	}
	if err != nil {
		return one, false, err
	}
	return found[0], true, nil
}

// explainIdentity explains somebody who is an identity and has no account: what the source says, and what becomes of
// it.
func (e *explanation) explainIdentity(ctx context.Context, one ledger.BoundIdentity) (*messages.Explanation, error) {
	x := &messages.Explanation{Person: access.Person{ID: one.Ref().String(), Email: one.Address}, At: e.at}
	return x, e.addIdentities(ctx, x, []ledger.BoundIdentity{one})
}

func identityInWords(x *messages.Explanation) string {
	if x == nil {
		return ""
	}
	words := x.Person.ID + " has no account"
	for _, r := range x.Records {
		words += "; provision " + r.Provision + ": " + r.State + ", " + r.Action
	}
	return words
}

// sources adds what the person is in identity sources, and what becomes of their records.
func (e *explanation) sources(ctx context.Context, x *messages.Explanation) error {
	if len(e.Policy.Sources) == 0 {
		return nil
	}
	bound, err := e.Ledger.IdentitiesOf(ctx, e.Org, []string{e.person.ID})
	if err != nil {
		return err
	}
	return e.addIdentities(ctx, x, bound[e.person.ID])
}

func (e *explanation) addIdentities(ctx context.Context, x *messages.Explanation, all []ledger.BoundIdentity) error {
	refs := make([]ledger.Ref, len(all))
	for i, one := range all {
		refs[i] = one.Ref()
	}
	links, err := e.Ledger.Bindings(ctx, e.Org, "", refs)
	if err != nil {
		return err
	}
	waits, err := e.waits(ctx)
	if err != nil {
		return err
	}
	for _, one := range all {
		x.Identities = append(x.Identities, e.identity(one, links[one.Ref()], waits))
	}
	for _, p := range e.Policy.Provision {
		at := slices.IndexFunc(all, func(one ledger.BoundIdentity) bool { return slices.Contains(p.From, one.Source) })
		if at < 0 {
			continue
		}
		provisioner, err := e.OpenProvision(ctx, p.Name)
		if err != nil {
			return err
		}
		if err := e.record(ctx, x, provisioner, refs[at]); err != nil {
			return err
		}
	}
	return nil
}

// waits lists the groups at Atlassian that do not follow a source's group before somebody decides, by the source's id.
func (e *explanation) waits(ctx context.Context) (map[string]string, error) {
	all, err := e.Ledger.Conflicts(ctx, e.Org)
	waits := map[string]string{}
	for _, c := range all {
		if c.Open() && !c.Linked {
			waits[access.SourceGroupID(c.Source, c.Key)] = c.GroupName
		}
	}
	return waits, err
}

// identity tells what a source says of somebody, and what the groups there give.
func (e *explanation) identity(one ledger.BoundIdentity, link ledger.Binding,
	waits map[string]string) messages.ExplainedIdentity {
	x := messages.ExplainedIdentity{Identity: one.Ref().String(), Address: one.Address, State: one.State,
		Since: one.Since, Stated: one.Stated, Lapsed: e.Lapsed(one), Account: one.Account}
	if one.Enabled != nil && !*one.Enabled {
		x.State += ", disabled"
	}
	if one.Account != "" {
		x.Linked, x.LinkedBy = link.Since, link.By
		if link.By == "" && link.Address != "" {
			x.LinkedBy = "address " + link.Address
		}
	}
	member := access.Person{ID: x.Identity, Email: one.Address}
	for _, g := range one.Groups {
		member.GroupIDs = append(member.GroupIDs, access.SourceGroupID(g.Source, g.Key))
	}
	gives := map[string][]access.Entitlement{}
	for _, want := range e.bound.Resolve(member, policy.Known{Now: e.at}).Wants {
		for _, r := range want.Reasons {
			if r.Kind == access.ReasonMapping {
				gives[r.Source] = append(gives[r.Source], e.bound.Targets[want.Target].Entitlement)
			}
		}
	}
	for _, g := range one.Groups {
		gives[g.Name] = append(gives[g.Name], e.synced(g)...)
		if wait := waits[access.SourceGroupID(g.Source, g.Key)]; len(gives[g.Name]) > 0 || wait != "" {
			x.Groups = append(x.Groups, messages.ExplainedGroup{Group: g.Name, Gives: gives[g.Name], Waits: wait})
		} else {
			x.Others++
		}
	}
	return x
}

// synced lists the groups of SCIM directories that follow a source's group by the policy.
func (e *explanation) synced(g ledger.SourceGroupRef) (all []access.Entitlement) {
	of := []access.Group{{ID: access.SourceGroupID(g.Source, g.Key), Name: g.Name, Source: g.Source}}
	for _, p := range e.Policy.Provision {
		for _, one := range e.bound.SyncedGroups(p.Name, of, nil) {
			all = append(all, access.SCIMGroupTarget(p.Name, one.Name))
		}
	}
	return all
}

// record adds what a provision decides about somebody's record, and what the source says for its attributes.
func (e *explanation) record(ctx context.Context, x *messages.Explanation, p *session.Provisioner,
	ref ledger.Ref) error {
	c, err := p.Candidate(ctx, ref)
	if err != nil {
		return err
	}
	for _, i := range c.Identities {
		for n := range x.Identities {
			if x.Identities[n].Identity == i.String() {
				x.Identities[n].Attributes = append(x.Identities[n].Attributes, attributesOf(p.Decide, i)...)
			}
		}
	}
	d := p.Decide.Resolve(c.Person, e.at)
	r := messages.ExplainedRecord{Provision: p.Spec.Name, State: string(d.State), Record: string(d.Record),
		Found: string(d.Means), Action: string(d.Action), Due: d.Due}
	if d.Record != "" {
		r.Account = string(d.Account)
	}
	for _, b := range c.Bindings {
		if b.Record == d.Record && b.Ref == d.Identity {
			links, err := e.Ledger.Bindings(ctx, e.Org, p.Spec.Name, []ledger.Ref{{Source: b.Source, Key: b.Key}})
			if err != nil {
				return err
			}
			for _, link := range links {
				r.Bound, r.BoundBy = link.Since, link.By
			}
		}
	}
	for _, n := range d.Notes {
		r.Notes = append(r.Notes, string(n.Finding)+": "+n.Detail)
	}
	if line, asks := p.Line(c, d); asks {
		if r.Edits, r.HeldBy = line.Edits, line.HeldBy; p.Decide.Observe {
			r.Notes = append(r.Notes, "the directory is only observed: nothing is written")
		}
		adopted, err := p.Adopted(ctx)
		if err != nil {
			return err
		}
		stats := plan.RecordStats{Provision: p.Spec.Name, Adopted: adopted}
		stats.Add(line)
		for _, v := range plan.JudgeRecords(e.Policy, stats) {
			if v.Holds(line) {
				r.HeldBy = append(r.HeldBy, v.Rule)
			}
		}
	}
	if r.Groups, err = e.memberships(ctx, p, c, d); err != nil {
		return err
	}
	x.Records = append(x.Records, r)
	return nil
}

// memberships tells which groups of a directory somebody is in, joins and leaves, and why.
func (e *explanation) memberships(ctx context.Context, p *session.Provisioner, c session.Candidate,
	d identity.Decision) (all []messages.ExplainedMembership, err error) {
	groups, err := p.Groups(ctx)
	if err != nil || groups == nil {
		return nil, err
	}
	found, err := e.Ledger.DirectoryGroupsOf(ctx, e.Org, p.Spec.Directory.ID, []string{string(d.Record)})
	if err != nil {
		return nil, err
	}
	states, err := e.Ledger.States(ctx, e.Org, []string{string(d.Account), c.Lead.String()},
		e.at.Add(-session.OwnSince))
	if err != nil {
		return nil, err
	}
	var in []identity.GroupID
	for _, id := range found[string(d.Record)] {
		in = append(in, identity.GroupID(id))
	}
	own := func(group string) bool {
		_, is := session.OwnMembership(access.SCIMGroupTarget(p.Spec.Name, group), states[string(d.Account)],
			states[c.Lead.String()])
		return is
	}
	m := p.Decide.Memberships(c.Person, d, in, own, groups.GroupSet)
	tell := func(g *identity.GroupDecision, standing string, holds []identity.Hold) {
		all = append(all, messages.ExplainedMembership{Group: g.Name, Source: g.SourceName, Entry: g.Entry,
			Standing: standing, HeldBy: session.HeldBy(holds)})
	}
	for n := range groups.All {
		g := &groups.All[n]
		leaves := slices.ContainsFunc(m.Leaves, func(l identity.Membership) bool { return l.GroupDecision == g })
		if g.Group != "" && slices.Contains(in, g.Group) && !leaves {
			tell(g, "member", nil)
		}
	}
	for _, j := range m.Joins {
		tell(j.GroupDecision, "joins", j.Holds)
	}
	for _, l := range m.Leaves {
		tell(l.GroupDecision, "leaves", l.Holds)
	}
	return all, nil
}

// attributesOf returns what an identity says for each attribute of a provision.
func attributesOf(p identity.Provision, i identity.Identity) (facts []messages.Fact) {
	s := &attribute.Subject{Source: i.Source, Key: i.Key, Groups: i.Groups, Attributes: i.Attributes}
	if i.Presence == identity.Enabled || i.Presence == identity.Disabled {
		enabled := i.Presence == identity.Enabled
		s.Enabled = &enabled
	}
	for _, name := range provision.Attributes() {
		expression := p.Attributes[name]
		if expression == nil {
			continue
		}
		fact := messages.Fact{Name: string(name) + " = " + expression.String()}
		value, err := expression.Value(s)
		if fact.Value = value; err != nil {
			fact.Unknown = err.Error()
		}
		facts = append(facts, fact)
	}
	return facts
}
