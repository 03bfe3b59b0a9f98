package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/attribute"
	"github.com/castellan-io/castellan/policy/provision"
)

// People returns the people of a page, with what the identity sources say of them. Users without a list of groups are
// left out: that does not prove that they are in none.
func (s *Session) People(ctx context.Context, users []organization.User) ([]access.Person, error) {
	people := make([]access.Person, 0, len(users))
	for _, u := range users {
		if u.GroupIDs != nil {
			people = append(people, person(u))
		}
	}
	return people, s.AddIdentities(ctx, people)
}

// AddIdentities adds to people the identities that they are bound to, and the sources' groups that these are in. A
// disabled identity, and one outside the source's scope, is in none; where the scope is not known, neither are the
// groups. It may be done again.
func (s *Session) AddIdentities(ctx context.Context, people []access.Person) error {
	if len(s.Policy.Sources) == 0 || len(people) == 0 {
		return nil
	}
	bound, err := s.Ledger.IdentitiesOf(ctx, s.Org, IDsOf(people))
	if err != nil {
		return err
	}
	for i := range people {
		people[i].Identities = []access.Identity{} // known to be nobody anywhere, as far as the ledger binds them
		people[i].GroupIDs = slices.DeleteFunc(slices.Clone(people[i].GroupIDs), access.IsSourceGroup)
		people[i].UnsureGroups, people[i].UnsureSources = nil, s.unsureSources(bound[people[i].ID])
		unexplained := false
		for _, one := range bound[people[i].ID] {
			if unexplained = unexplained || one.Unexplained; unexplained || s.Policy.Source(one.Source) == nil {
				continue // nobody knows whose identity it is; or a source that the policy no longer has
			}
			if slices.Contains(people[i].UnsureSources, one.Source) {
				continue
			}
			known, err := s.identity(one)
			if err != nil {
				return err
			}
			people[i].Identities = append(people[i].Identities, known.Identity)
			switch known.groups {
			case groupsCount:
				people[i].GroupIDs = append(people[i].GroupIDs, sourceGroupIDs(one)...)
			case groupsUnsure:
				people[i].UnsureGroups = append(people[i].UnsureGroups, sourceGroupIDs(one)...)
			}
		}
		if unexplained {
			people[i].Identities = nil // not known
		}
	}
	return nil
}

// unsureSources returns the sources that post and have not said lately what they know of somebody, who is these
// identities: nobody is known to have left them.
func (s *Session) unsureSources(bound []ledger.BoundIdentity) (unsure []string) {
	for i := range s.Policy.Sources {
		spec := &s.Policy.Sources[i]
		if spec.Kind.Pushed() && !slices.ContainsFunc(bound, func(one ledger.BoundIdentity) bool {
			return one.Source == spec.Name && !one.Unexplained && s.counts(spec, one)
		}) {
			unsure = append(unsure, spec.Name)
		}
	}
	return unsure
}

// Lapsed reports whether somebody's source posts, and what it said of them does not count: it is too long ago, or the
// ledger's chain does not explain it.
func (s *Session) Lapsed(one ledger.BoundIdentity) bool {
	spec := s.Policy.Source(one.Source)
	return spec != nil && spec.Kind.Pushed() && !s.counts(spec, one)
}

// counts reports whether what a source that posts said of somebody counts still.
func (s *Session) counts(spec *provision.Source, one ledger.BoundIdentity) bool {
	return !one.Stated.IsZero() && (spec.Valid == 0 || s.Now().Before(one.Stated.Add(spec.Valid.Std())))
}

func sourceGroupIDs(one ledger.BoundIdentity) []string {
	ids := make([]string, len(one.Groups))
	for i, g := range one.Groups {
		ids[i] = access.SourceGroupID(g.Source, g.Key)
	}
	return ids
}

// knownIdentity is what conditions may ask of somebody's identity, and how far its groups count.
type knownIdentity struct {
	access.Identity
	groups groupsOf
}

// groupsOf is how far somebody's groups in a source count.
type groupsOf int

const (
	groupsNone groupsOf = iota // whatever groups the source shows the person in, they count as none
	groupsCount
	groupsUnsure // it is not known whether they count
)

// identity returns what conditions may ask of somebody's identity.
func (s *Session) identity(one ledger.BoundIdentity) (known knownIdentity, err error) {
	presence, attributes, err := s.presence(one)
	if err != nil {
		return known, err
	}
	known.Identity = access.Identity{Source: one.Source, Key: one.Key, Enabled: one.Enabled, Attributes: attributes}
	switch {
	case presence == identity.Gone, presence == identity.OutOfScope:
		known.OutOfScope = true
	case presence == identity.Enabled:
		known.groups = groupsCount
	case presence == identity.Unknown:
		known.ScopeUnknown = true
		if s.Lapsed(one) || one.Enabled == nil || *one.Enabled {
			known.groups = groupsUnsure
		}
	}
	return known, nil
}

// presence returns how somebody stands in a source, as its replica has them and its scope says of that, and their
// attributes. Whoever was missing from the last read counts as there. Unknown: the scope asks for what the source does
// not say, or the source posts and has said nothing of them lately.
func (s *Session) presence(one ledger.BoundIdentity) (identity.Presence, map[string]any, error) {
	attributes, err := attributesOf(one)
	if err != nil {
		return "", nil, err
	}
	in, known, err := s.inScope(one, attributes)
	switch {
	case err != nil:
		return "", nil, err
	case s.Lapsed(one):
		return identity.Unknown, attributes, nil
	case one.State == ledger.StateGone:
		return identity.Gone, attributes, nil
	case one.State == ledger.StateOutOfScope:
		return identity.OutOfScope, attributes, nil
	case !known:
		return identity.Unknown, attributes, nil
	case one.Enabled != nil && !*one.Enabled:
		return identity.Disabled, attributes, nil
	case !in:
		return identity.OutOfScope, attributes, nil
	}
	return identity.Enabled, attributes, nil
}

// inScope reports whether somebody is in the scope of a source; known is false where the source does not say what the
// scope asks for, or the policy no longer has the source.
func (s *Session) inScope(one ledger.BoundIdentity, attributes map[string]any) (in, known bool, err error) {
	spec := s.Policy.Source(one.Source)
	if spec == nil || spec.People.Scope == "" {
		return true, spec != nil, nil
	}
	scope := s.scopes[spec.Name]
	if scope == nil {
		if scope, err = attribute.CompileScope(spec.People.Scope); err != nil {
			return false, false, NonRetryable(ErrPolicy, err)
		}
		if s.scopes == nil {
			s.scopes = map[string]*attribute.Expression{}
		}
		s.scopes[spec.Name] = scope
	}
	in, err = scope.Holds(&attribute.Subject{Source: one.Source, Key: one.Key, Enabled: one.Enabled,
		Groups: groupNames(one), Attributes: attributes})
	return in && err == nil, err == nil, nil
}

func attributesOf(one ledger.BoundIdentity) (attributes map[string]any, err error) {
	if len(one.Attributes) > 0 {
		err = json.Unmarshal(one.Attributes, &attributes)
	}
	if err != nil {
		err = fmt.Errorf("the ledger's attributes of %s cannot be read: %w", one.Ref(), err)
	}
	return attributes, err
}

// groupNames are the names of the groups that somebody is in, as the source has them.
func groupNames(one ledger.BoundIdentity) []string {
	names := make([]string, len(one.Groups))
	for i, g := range one.Groups {
		names[i] = strings.TrimPrefix(g.Name, one.Source+":")
	}
	return names
}

// Link binds identities that nobody is bound to yet to those of the people who have their address, as
// [identity.LinkByAddress] decides, and adds them to these people. With save, the ledger keeps it. The findings are of
// those who were not linked.
//
// An address proves little where anybody may register it: unless the source says link: any, somebody from outside is
// not linked.
func (s *Session) Link(ctx context.Context, b *policy.Bound, people []access.Person, save bool) ([]access.Finding,
	error) {
	if len(s.Policy.Sources) == 0 {
		return nil, nil
	}
	var addresses []string
	for _, p := range people {
		if p.Email != "" {
			addresses = append(addresses, p.Email)
		}
	}
	unbound, err := s.Ledger.UnboundAt(ctx, s.Org, addresses)
	if err != nil || len(unbound) == 0 {
		return nil, err
	}
	var candidates []identity.Candidate
	for _, address := range SortedKeys(unbound) {
		for _, one := range unbound[address] {
			candidates = append(candidates, identity.Candidate{Ref: identity.Ref{Source: one.Source, Key: one.Key},
				Address: one.Address})
		}
	}
	links, findings := identity.LinkByAddress(candidates, people, s.MayLink(b))
	if len(links) == 0 || !save {
		return findings, nil
	}
	links, taken, err := s.bind(ctx, links)
	if findings = append(findings, taken...); err != nil || len(links) == 0 {
		return findings, err
	}
	fresh := slices.DeleteFunc(slices.Clone(people), func(p access.Person) bool {
		return !slices.ContainsFunc(links, func(l identity.Link) bool { return string(l.Account) == p.ID })
	})
	if err := s.AddIdentities(ctx, fresh); err != nil {
		return nil, err
	}
	for i := range people {
		for _, p := range fresh {
			if p.ID == people[i].ID {
				people[i] = p
			}
		}
	}
	return findings, nil
}

// MayLink returns what tells whether somebody's address proves enough to link an identity of a source to them.
func (s *Session) MayLink(b *policy.Bound) func(source string, p access.Person) bool {
	return func(source string, p access.Person) bool {
		spec, external := s.Policy.Source(source), b.External(p)
		return spec != nil && (spec.Link == provision.LinkAny || external != nil && !*external)
	}
}

// bind has the ledger keep links, and returns those that it keeps. Against the others stands a binding that the ledger
// has meanwhile, or that its chain does not explain: the findings name them.
func (s *Session) bind(ctx context.Context, links []identity.Link) ([]identity.Link, []access.Finding, error) {
	bindings := make([]ledger.Binding, len(links))
	for i, l := range links {
		bindings[i] = ledger.Binding{Source: l.Source, Key: l.Key, Account: string(l.Account), Address: l.Address}
	}
	err := s.Ledger.BindAccounts(ctx, s.Org, bindings, s.Now())
	var bound *ledger.BoundError
	if !errors.As(err, &bound) {
		return links, nil, err
	}
	var findings []access.Finding
	refused := map[ledger.Ref]bool{}
	for _, c := range bound.Conflicts {
		refused[c.Wanted.Ref()] = true
		findings = append(findings, access.Finding{Rule: "link-taken", Subject: c.Wanted.Address,
			Detail: (&ledger.BoundError{Conflicts: []ledger.BindingConflict{c}}).Error()})
	}
	links = slices.DeleteFunc(links, func(l identity.Link) bool { return refused[ledger.Ref(l.Ref)] })
	bindings = slices.DeleteFunc(bindings, func(b ledger.Binding) bool { return refused[b.Ref()] })
	if len(links) == 0 {
		return nil, findings, nil
	}
	return links, findings, s.Ledger.BindAccounts(ctx, s.Org, bindings, s.Now())
}

// amongSourceMembers reports whether one of these people is in one of the groups of identity sources, or may be.
func (s *Session) amongSourceMembers(ctx context.Context, people, groups []string) (bool, error) {
	bound, err := s.Ledger.IdentitiesOf(ctx, s.Org, people)
	if err != nil {
		return false, err
	}
	for _, all := range bound {
		for _, one := range all {
			if one.Unexplained {
				continue
			}
			known, err := s.identity(one)
			if err != nil {
				return false, err
			}
			if known.groups != groupsNone && slices.ContainsFunc(one.Groups, func(g ledger.SourceGroupRef) bool {
				return slices.Contains(groups, access.SourceGroupID(g.Source, g.Key))
			}) {
				return true, nil
			}
		}
	}
	return false, nil
}

// WithSourceGroups replaces the groups of identity sources in a list by those that the ledger's replica has now.
func (s *Session) WithSourceGroups(ctx context.Context, groups []access.Group) ([]access.Group, error) {
	groups = slices.DeleteFunc(slices.Clone(groups), func(g access.Group) bool { return access.IsSourceGroup(g.ID) })
	if len(s.Policy.Sources) == 0 {
		return groups, nil
	}
	found, err := s.Ledger.SourceGroupsOf(ctx, s.Org)
	if err != nil {
		return nil, err
	}
	for _, g := range found {
		if s.Policy.Source(g.Source) != nil {
			groups = append(groups, access.Group{ID: access.SourceGroupID(g.Source, g.Key), Name: g.Name,
				Source: g.Source, Synced: true, Users: g.Members})
		}
	}
	return groups, nil
}

// askSources has the policy's conditions take the word of its identity sources on people, but for those that are
// doubted now.
func (s *Session) askSources(ctx context.Context) error {
	if len(s.Policy.SourcesNeeded()) == 0 {
		return nil
	}
	doubted, err := s.DoubtedSources(ctx)
	if err != nil {
		return err
	}
	s.sources = func(name string) error {
		for _, d := range doubted {
			if d.Name == name {
				return fmt.Errorf("the data of source %s does not count now: %s", name, d.Why)
			}
		}
		return nil
	}
	return nil
}

// DoubtedSources returns the identity sources of the policy whose replica proves nothing about who is missing now, and
// why.
func (s *Session) DoubtedSources(ctx context.Context) ([]plan.DoubtedSource, error) {
	var doubted []plan.DoubtedSource
	for _, spec := range s.Policy.Sources {
		if spec.Kind.Pushed() {
			continue // its silence about anybody means nothing
		}
		known, err := s.Ledger.Source(ctx, s.Org, spec.Name)
		if err != nil {
			return nil, err
		}
		why, stale := "", false
		switch age := s.Now().Sub(known.ReadAt); {
		case known.Read == 0:
			why = "it was never read completely"
		case age > spec.Stale.Std():
			stale = true
			why = fmt.Sprintf("it was last read completely at %s, more than %s ago (sources.stale)",
				Timestamp(known.ReadAt), spec.Stale)
		case known.Suspect != "":
			why = known.Suspect + "; see accept-source"
		default:
			continue
		}
		if known.Problem != "" {
			why += ": " + known.Problem
		}
		doubted = append(doubted, plan.DoubtedSource{Name: spec.Name, Why: why, Stale: stale})
	}
	return doubted, nil
}

// UnexplainedSources returns the identity sources of the policy with people of whom the ledger's chain does not explain
// which accounts they are. Such people are given nothing by the source, and nothing of the source's is taken meanwhile.
func (s *Session) UnexplainedSources(ctx context.Context) ([]plan.DoubtedSource, error) {
	if len(s.Policy.Sources) == 0 {
		return nil, nil
	}
	counts, err := s.Ledger.UnexplainedIdentities(ctx, s.Org)
	var doubted []plan.DoubtedSource
	for _, name := range SortedKeys(counts) {
		if s.Policy.Source(name) != nil {
			doubted = append(doubted, plan.DoubtedSource{Name: name, Why: fmt.Sprintf(
				"the ledger's chain does not explain to which accounts %d of its people are linked; see starter verify-ledger",
				counts[name])})
		}
	}
	return doubted, err
}

// UnexplainedPosts returns the sources that post and of which the ledger's chain does not explain all that they said.
// It reads what they said of everybody. Such people are given nothing by the source, and nothing is taken from them.
func (s *Session) UnexplainedPosts(ctx context.Context) (doubted []plan.DoubtedSource, err error) {
	for _, spec := range s.Policy.Sources {
		if !spec.Kind.Pushed() {
			continue
		}
		n, err := s.Ledger.UnexplainedPosts(ctx, s.Org, spec.Name)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			doubted = append(doubted, plan.DoubtedSource{Name: spec.Name, Why: fmt.Sprintf(
				"the ledger's chain does not explain what was posted of %d of its people; see starter verify-ledger", n)})
		}
	}
	return doubted, nil
}
