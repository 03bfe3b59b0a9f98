package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/account"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/provision"
)

// Provisioner is one provision of the policy, ready to decide about people and to ask the SCIM directory.
type Provisioner struct {
	*Session
	Spec   *provision.Provision
	Decide identity.Provision
	SCIM   *scim.Client

	Doubted []plan.DoubtedSource // those of its sources that prove nothing about who is missing

	bound *policy.Bound // to the latest outline
}

// OpenProvision returns the provision of a name, which knows the domains that the last outline has.
func (s *Session) OpenProvision(ctx context.Context, name string) (*Provisioner, error) {
	i := slices.IndexFunc(s.Policy.Provision, func(p provision.Provision) bool { return p.Name == name })
	if i < 0 {
		return nil, NonRetryable(ErrPolicy, fmt.Errorf("the policy has no provision %s; it has: %s", name, provisionNames(s.Policy.Provision)))
	}
	p := &Provisioner{Session: s, Spec: &s.Policy.Provision[i]}
	outline, known, err := s.LatestOutline(ctx)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, NonRetryable(ErrUnknown, fmt.Errorf("organization %s has not been verified under its policy yet; provisioning starts after that", s.Org))
	}
	if p.Decide, err = s.compiledProvision(p.Spec); err != nil {
		return nil, NonRetryable(ErrPolicy, err)
	}
	b := s.Bound(outline)
	p.bound = b
	p.Decide.Domains = b.VerifiedDomain
	p.Decide.Kept = func(account identity.AccountID, _ string) bool { return b.NeverDeactivated(string(account)) }
	doubted, err := s.DoubtedSources(ctx)
	if err != nil {
		return nil, err
	}
	p.Doubted = slices.DeleteFunc(doubted,
		func(d plan.DoubtedSource) bool { return !slices.Contains(p.Spec.From, d.Name) })
	p.SCIM, err = s.SCIMClient(p.Spec.Directory)
	return p, err
}

func provisionNames(all []provision.Provision) string {
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// compiledProvision returns a provision that knows neither domains nor accounts. It is compiled once, since each change
// of a record opens it.
func (s *Session) compiledProvision(spec *provision.Provision) (identity.Provision, error) {
	key := s.Policy.Hash() + " " + spec.Name
	if known, is := s.provisions.Get(key); is {
		return known, nil
	}
	compiled, err := identity.New(*spec, nil, nil)
	if err == nil {
		s.provisions.Add(key, compiled)
	}
	return compiled, err
}

// SCIMClient returns a client of a SCIM directory.
func (s *Session) SCIMClient(d provision.Directory) (*scim.Client, error) {
	base, err := url.JoinPath(strings.TrimSuffix(strings.TrimSuffix(s.baseURL, "/"), "/admin"), "scim", "directory", d.ID)
	if err != nil {
		return nil, NonRetryable(ErrPolicy, err)
	}
	client := *s.http
	client.Transport = s.paceOf(s.Org + "/scim/" + d.ID).transport(s.http.Transport)
	c, err := scim.New(scim.Options{BaseURL: base, HTTP: &client, UserAgent: "castellan",
		Key: func(context.Context) (string, error) {
			value, err := s.secret(s.Org, d.Key)
			if err != nil {
				return "", NonRetryable(ErrKeyRefused, fmt.Errorf("the key of SCIM directory %s cannot be read: %w", d.ID, err))
			}
			return value, nil
		},
		Observe: func(scim.Call) { s.calls.Add(1) },
	})
	if err != nil {
		return nil, NonRetryable(ErrPolicy, fmt.Errorf("SCIM directory %s: %w", d.ID, err))
	}
	return c, nil
}

// UserManagement returns a client of the user management API, which tells about managed accounts. It goes by the
// organization's key, which must have been made without scopes.
func (s *Session) UserManagement() (*account.Client, error) {
	client := *s.http
	client.Transport = s.paceOf(s.Org + "/users").transport(s.http.Transport)
	c, err := account.New(account.Options{
		BaseURL: strings.TrimSuffix(strings.TrimSuffix(s.baseURL, "/"), "/admin"), HTTP: &client, UserAgent: "castellan",
		Key: func(context.Context) (string, error) {
			value, err := s.secret(s.Org, s.Policy.Organization.Key)
			if err != nil {
				return "", NonRetryable(ErrKeyRefused, fmt.Errorf("the key of organization %s cannot be read: %w", s.Org, err))
			}
			return value, nil
		},
		Observe: func(account.Call) { s.calls.Add(1) },
	})
	if err != nil {
		return nil, NonRetryable(ErrPolicy, fmt.Errorf("organization %s: %w", s.Org, err))
	}
	return c, nil
}

// Keep stores a user of the SCIM directory as Atlassian shows it now.
func (p *Provisioner) Keep(ctx context.Context, user scim.User) error {
	return p.Ledger.SaveRecords(ctx, p.Org, p.Spec.Directory.ID, 0, []ledger.Record{RecordOf(user)}, p.Now())
}

// RecordOf returns a user of the SCIM directory as the ledger keeps it, with the digest that a later read is compared
// by.
func RecordOf(u scim.User) ledger.Record {
	r := ledger.Record{ID: u.ID, Account: u.AtlassianAccountID, External: u.ExternalID, Active: u.Active,
		Address: u.Email, Modified: u.Modified, Values: map[string]string{}}
	if r.Address == "" {
		r.Address = u.UserName
	}
	for name, value := range map[provision.Attribute]string{
		provision.UserName: u.UserName, provision.Email: u.Email, provision.DisplayName: u.DisplayName,
		provision.GivenName: u.GivenName, provision.FamilyName: u.FamilyName, provision.NickName: u.NickName,
		provision.Title: u.Title, provision.Department: u.Department, provision.Organization: u.Organization,
		provision.Timezone: u.Timezone, provision.PreferredLanguage: u.PreferredLanguage,
		provision.PhoneNumber: u.PhoneNumber,
	} {
		if value != "" {
			r.Values[string(name)] = value
		}
	}
	text, _ := json.Marshal(r) // plain data always encodes
	sum := sha256.Sum256(text)
	r.Digest = hex.EncodeToString(sum[:16])
	return r
}

// UserOf returns what a new record is to hold.
func UserOf(edits []access.Edit, key string) scim.User {
	u := scim.User{ExternalID: key, Active: true}
	for _, e := range edits {
		switch provision.Attribute(e.Attribute) {
		case provision.UserName:
			u.UserName = e.To
		case provision.Email:
			u.Email = e.To
		case provision.DisplayName:
			u.DisplayName = e.To
		case provision.GivenName:
			u.GivenName = e.To
		case provision.FamilyName:
			u.FamilyName = e.To
		case provision.NickName:
			u.NickName = e.To
		case provision.Title:
			u.Title = e.To
		case provision.Department:
			u.Department = e.To
		case provision.Organization:
			u.Organization = e.To
		case provision.Timezone:
			u.Timezone = e.To
		case provision.PreferredLanguage:
			u.PreferredLanguage = e.To
		case provision.PhoneNumber:
			u.PhoneNumber = e.To
		}
	}
	return u
}

// WrapSCIMError returns an error that says what was tried and what to do.
func WrapSCIMError(tried string, err error) error {
	say := func(what string) error { return fmt.Errorf("%s: %s: %w", tried, what, err) }
	switch {
	case err == nil:
		return nil
	case errors.Is(err, scim.ErrUnauthorized):
		return NonRetryable(ErrKeyRefused, say("Atlassian refused the SCIM directory's key: it is wrong, expired or revoked, or the subscription lapsed; make a new one and put it where the policy's directory.key points"))
	case errors.Is(err, scim.ErrForbidden):
		return NonRetryable(ErrForbidden, say("the SCIM directory's key is not permitted to do this; check directory.id, and whether the organization's subscription to Atlassian Guard is in force"))
	}
	return WrapAPIError(tried, err)
}

// Lacks returns the first attribute that a record should have and has not, with what it has instead; "" if there is
// none.
func Lacks(edits []access.Edit, is ledger.Record) string {
	for _, e := range edits {
		if e.Attribute == IdentityAttribute {
			continue
		}
		attribute := provision.Attribute(e.Attribute)
		value := is.Values[e.Attribute]
		if e.Attribute == activeAttribute {
			value = fmt.Sprint(is.Active)
		}
		if !attribute.Same(value, e.To) {
			return fmt.Sprintf("%s %q but %q", e.Attribute, e.To, value)
		}
	}
	return ""
}

// Overwritten reports whether a record has, in an attribute that is to change now, another value than Castellan last
// wrote there: somebody else did.
func Overwritten(last, now access.Change) bool {
	wrote := map[string]string{}
	if last.Action == access.Add {
		wrote[activeAttribute] = "true"
	}
	for _, e := range last.Edits {
		wrote[e.Attribute] = e.To
	}
	return slices.ContainsFunc(now.Edits, func(e access.Edit) bool {
		value, known := wrote[e.Attribute]
		return known && e.Attribute != IdentityAttribute && !provision.Attribute(e.Attribute).Same(value, e.From)
	})
}

// Adopted reports whether the first plan of the provision was approved: until then it binds nobody of itself
// and writes nothing but what somebody approved.
func (p *Provisioner) Adopted(ctx context.Context) (bool, error) {
	return p.Ledger.ProvisionAdopted(ctx, p.Org, p.Spec.Name)
}

// ProvisionStates returns how many people of a provision are in which state, and how many active managed accounts have
// no record in its directory.
func (a *Env) ProvisionStates(ctx context.Context, org, hash, name string) (states []messages.StateCount, gap int,
	err error) {
	counts, err := a.Ledger.PersonStateCounts(ctx, org, name)
	if err != nil {
		return nil, 0, err
	}
	states = StateCounts(counts)
	p, err := a.WrittenPolicy(ctx, org, hash)
	if err != nil {
		return nil, 0, err
	}
	for _, one := range p.Provision {
		if one.Name == name {
			gap, err = a.Ledger.Unrecorded(ctx, org, one.Directory.ID)
		}
	}
	return states, gap, err
}

// Gap returns how many active managed accounts have no record in the provision's directory.
func (p *Provisioner) Gap(ctx context.Context) (int, error) {
	return p.Ledger.Unrecorded(ctx, p.Org, p.Spec.Directory.ID)
}
