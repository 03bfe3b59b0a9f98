package condition

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/castellan-io/castellan/access"
)

// Facts are what a condition may ask of a person. What is not known is an error to whoever asks for it, never an
// answer.
type Facts struct {
	access.Person
	Groups   []string       // names of all groups the person is in
	Sources  []string       // those of them that an identity provider owns
	Granted  []access.Grant // in force
	Apps     []AppUse       // that the person has access to; nil: not known
	External *bool          // whether the person is from outside; nil: not known

	// SourcesKnown returns nil if what an identity source says of people is known: it was read completely, and lately
	// enough. Otherwise it says why it is not. Nil: of no source.
	SourcesKnown func(source string) error

	Alike   func(a, b access.Entitlement) bool // says that two names mean a target in common; nil: equal names do
	There   func(folded string) bool           // says that there is a group of this name; nil: any may be
	Strange bool                               // the person is in groups whose names are not known
	Unsure  []string                           // names of groups that the person may be in or not
	// UnsureOf are sources in whose groups the person may be or not, and of which it is not known who the person is.
	UnsureOf []string
	fewApps  bool // the person may have access to more apps than are shown
}

// ListsCut returns the facts of somebody whose lists of groups, roles and apps may be cut short: what they name is
// known, that they lack something is not.
func (f Facts) ListsCut() Facts {
	f.Strange, f.PlatformRoles, f.fewApps = true, nil, true
	return f
}

// AppUse is an app on a site that a person has access to, and when they last used it.
type AppUse struct {
	App, Site string    // as in access.Site
	Since     time.Time // since when they are known to have access; zero: not known
	access.Activity
}

// factTypes lists the facts by the names that conditions know them by.
var factTypes = []struct {
	name string
	kind *cel.Type
}{
	{"accountStatus", cel.StringType}, {"accountType", cel.StringType}, {"added", cel.TimestampType},
	{"apps", cel.ListType(cel.StringType)},
	{"claimStatus", cel.StringType}, {"department", cel.StringType}, {"domain", cel.StringType},
	{"email", cel.StringType},
	{"emailVerified", cel.BoolType}, {"external", cel.BoolType}, {"groups", cel.ListType(cel.StringType)},
	{"location", cel.StringType},
	{"managed", cel.BoolType}, {"managementSource", cel.StringType}, {"membershipStatus", cel.StringType},
	{"mfa", cel.BoolType},
	{"name", cel.StringType}, {"now", cel.TimestampType}, {"organization", cel.StringType},
	{"roles", cel.ListType(cel.StringType)},
	{"sources", cel.ListType(cel.StringType)}, {"sponsor", cel.StringType}, {"title", cel.StringType},
}

func factNames() string {
	var names []string
	for _, f := range factTypes {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

// What may not be known.
var (
	errUnknownAdded    = errors.New("it is not known when the person was added to the organization")
	errUnknownEmail    = errors.New("the read shows no e-mail address")
	errUnknownClaim    = errors.New("it is not known whether the account is managed")
	errUnknownVerified = errors.New("it is not known whether the e-mail address is verified")
	errUnknownMFA      = errors.New(
		"it is not known whether two-step verification is on; it is known of managed accounts only")
	errUnknownExternal = errors.New("it is not known whether the person is external")
	errUnknownGroups   = errors.New("the person is in groups whose names are not known yet")
	errNotShown        = errors.New("the read does not show it")
	ErrUnknownUse      = errors.New("it is not known when the person used which app")
	errUnknownSite     = errors.New("the person has access to the app on a site that is not shown")
	errFewApps         = errors.New("it is not known whether the person has access to more apps")
)

// Subject is a person's facts at an instant, as CEL asks for them. Any number of conditions may ask, one after the
// other.
type Subject struct {
	Facts
	Constants
	now    time.Time
	groups map[string]bool // folded, once somebody asked
}

var _ cel.FunctionActivation = (*Subject)(nil)

// Ask readies the facts for conditions.
func (f Facts) Ask(now time.Time, c Constants) *Subject {
	return &Subject{Facts: f, Constants: c, now: now}
}

// Parent returns nil: nothing is behind the facts.
func (s *Subject) Parent() cel.Activation { return nil }

// ResolveName returns the fact of a name. A text that the profile does not have is empty.
func (s *Subject) ResolveName(name string) (any, bool) {
	switch name {
	case "accountStatus":
		return orUnknown(s.AccountStatus != "", errNotShown, types.String(s.AccountStatus)), true
	case "accountType":
		return orUnknown(s.AccountType != "", errNotShown, types.String(s.AccountType)), true
	case "added":
		return orUnknown(!s.Added.IsZero(), errUnknownAdded, types.Timestamp{Time: s.Added}), true
	case "apps":
		return s.apps(), true
	case "claimStatus":
		return orUnknown(s.ClaimStatus != "", errUnknownClaim, types.String(s.ClaimStatus)), true
	case "department":
		return types.String(access.Compose(s.Department)), true
	case "domain":
		return orUnknown(s.Email != "", errUnknownEmail, types.String(access.DomainOf(s.Email))), true
	case "email":
		return orUnknown(s.Email != "", errUnknownEmail, types.String(access.FoldAddress(s.Email))), true
	case "emailVerified":
		return truth(s.EmailVerified, errUnknownVerified), true
	case "external":
		return truth(s.External, errUnknownExternal), true
	case "groups":
		if s.unsure() {
			return types.WrapErr(errUnknownGroups), true
		}
		return composed(s.Groups), true
	case "location":
		return types.String(access.Compose(s.Location)), true
	case "managed":
		return orUnknown(s.ClaimStatus != "", errUnknownClaim, types.Bool(s.ClaimStatus == "managed")), true
	case "managementSource":
		return types.String(s.ManagementSource), true
	case "membershipStatus":
		return orUnknown(s.MembershipStatus != "", errNotShown, types.String(s.MembershipStatus)), true
	case "mfa":
		return truth(s.MFA, errUnknownMFA), true
	case "name":
		return types.String(access.Compose(s.Name)), true
	case "now":
		return types.Timestamp{Time: s.now}, true
	case "organization":
		return types.String(access.Compose(s.Organization)), true
	case "roles":
		if s.PlatformRoles == nil {
			return types.WrapErr(errNotShown), true
		}
		return s.PlatformRoles, true
	case "sources":
		if s.unsure() {
			return types.WrapErr(errUnknownGroups), true
		}
		return composed(s.Sources), true
	case "sponsor":
		return types.String(s.sponsor()), true
	case "title":
		return types.String(access.Compose(s.JobTitle)), true
	}
	return nil, false
}

func orUnknown(known bool, why error, value ref.Val) ref.Val {
	if !known {
		return types.WrapErr(why)
	}
	return value
}

func truth(fact *bool, why error) ref.Val {
	if fact == nil {
		return types.WrapErr(why)
	}
	return types.Bool(*fact)
}

// composed are names with their letters composed, as the texts of conditions are.
func composed(names []string) []string {
	for i, name := range names {
		if access.Compose(name) == name {
			continue
		}
		all := slices.Clone(names)
		for j := range all[i:] {
			all[i+j] = access.Compose(all[i+j])
		}
		return all
	}
	return names
}

// sponsor returns who asked for the person's presence; "" when no grant of it is in force.
func (s *Subject) sponsor() string {
	for _, g := range s.Granted {
		if g.Target == access.Directory {
			return access.FoldAddress(g.By)
		}
	}
	return ""
}

func (s *Subject) apps() any {
	if s.Apps == nil {
		return types.WrapErr(ErrUnknownUse)
	}
	if s.fewApps {
		return types.WrapErr(errFewApps)
	}
	var keys []string
	for _, a := range s.Apps {
		if !slices.Contains(keys, a.App) {
			keys = append(keys, a.App)
		}
	}
	return keys
}

// in reports whether the person is in the group. That somebody is in none is only said of a group that is there, and of
// somebody whose groups are all known.
func (s *Subject) in(name string) (bool, error) {
	folded, readied := s.Constants.groups[name]
	if !readied {
		folded = access.Fold(name)
	}
	return s.inFolded(name, folded)
}

func (s *Subject) inFolded(name, folded string) (bool, error) {
	if s.groups == nil {
		s.groups = make(map[string]bool, len(s.Groups))
		for _, g := range s.Groups {
			s.groups[access.Fold(g)] = true
		}
	}
	switch {
	case s.groups[folded]:
		return true, nil
	case s.There != nil && !s.There(folded):
		return false, fmt.Errorf("there is no group %q", name)
	case s.Strange, slices.ContainsFunc(s.Unsure, func(name string) bool { return access.Fold(name) == folded }):
		return false, errUnknownGroups
	}
	for _, source := range s.UnsureOf {
		if strings.HasPrefix(folded, access.Fold(source)+":") {
			return false, notStated(source)
		}
	}
	return false, nil
}

// unsure reports whether the person may be in more groups than are known.
func (s *Subject) unsure() bool { return s.Strange || len(s.Unsure)+len(s.UnsureOf) > 0 }

// notStated is what is not known of somebody of whom a source that posts has said nothing lately.
func notStated(source string) error {
	return fmt.Errorf("source %s has posted nothing about the person lately (sources.valid)", source)
}
