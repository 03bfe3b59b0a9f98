package provisioning

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/account"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy/provision"
)

// accountsNow are accounts as they are now, and which of their groups linking must leave as they are: all that no SCIM
// directory fills.
type accountsNow struct {
	accounts map[string]access.Person // by id
	synced   map[string]bool          // groups, by id
	names    map[string]string        // of groups, by id
}

// readAccounts reads accounts; the groups are those of the last outline.
func readAccounts(ctx context.Context, s *session.Session, ids []string) (*accountsNow, error) {
	outline, _, err := s.LatestOutline(ctx)
	if err != nil {
		return nil, err
	}
	n := &accountsNow{map[string]access.Person{}, map[string]bool{}, map[string]string{}}
	for _, g := range outline.Groups {
		n.synced[g.ID], n.names[g.ID] = g.Synced, g.Name
	}
	people, err := s.ReadPeople(ctx, session.Distinct(ids))
	for _, p := range people {
		n.accounts[p.ID] = p
	}
	return n, err
}

// kept returns the ids of the groups of an account that must stay, in order.
func (n *accountsNow) kept(p access.Person) []string {
	ids := slices.DeleteFunc(slices.Clone(p.GroupIDs),
		func(id string) bool { return access.IsSourceGroup(id) || n.synced[id] })
	slices.Sort(ids)
	return ids
}

// name returns the name of a group; its id if it is not known.
func (n *accountsNow) name(id string) string { return cmp.Or(n.names[id], id) }

// shown returns what the preview shows of an account.
func (v *linkPreview) shown(ctx context.Context, d identity.Decision, of access.Person) (json.RawMessage, error) {
	before := messages.LinkBefore{Groups: v.now.kept(of), Roles: rolesOf(of)}
	for _, id := range before.Groups {
		before.Names = append(before.Names, v.now.name(id))
	}
	is := map[provision.Attribute]string{
		provision.Email: of.Email, provision.DisplayName: of.Name, provision.Title: of.JobTitle,
		provision.Department: of.Department, provision.Organization: of.Organization,
	}
	for _, e := range d.Edits {
		if was := is[e.Attribute]; was != "" && !e.Attribute.Same(was, e.To) {
			before.Overwrites = append(before.Overwrites, string(e.Attribute)+": "+was+" → "+e.To)
		}
	}
	var err error
	if before.Locks, err = v.locks(ctx, of); err != nil {
		return nil, err
	}
	return json.Marshal(before)
}

// rolesOf returns the platform roles of an account, in order.
func rolesOf(p access.Person) []string {
	roles := slices.Clone(p.PlatformRoles)
	slices.Sort(roles)
	return roles
}

// locks returns what can be changed of a managed account at Atlassian now, and by its record alone once it is linked.
// A key with scopes may not ask; then it is not known.
func (v *linkPreview) locks(ctx context.Context, of access.Person) ([]string, error) {
	if of.ClaimStatus != "managed" {
		return nil, nil
	}
	client, err := v.UserManagement()
	if err != nil {
		return nil, err
	}
	may, err := client.Permissions(ctx, of.ID)
	switch {
	case errors.Is(err, account.ErrNotManaged), errors.Is(err, account.ErrForbidden),
		errors.Is(err, account.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, session.WrapAPIError("read what may be done to account "+of.ID, err)
	}
	var locks []string
	if may.Email == account.Allowed {
		locks = append(locks, "email")
	}
	if may.Enablement == account.Allowed {
		locks = append(locks, "activation")
	}
	for _, field := range session.SortedKeys(may.Profile) {
		if may.Profile[field] == account.Allowed {
			locks = append(locks, field)
		}
	}
	return locks, nil
}
