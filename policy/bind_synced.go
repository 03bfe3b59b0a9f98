package policy

import (
	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/provision"
)

// SyncedGroup is a group of an identity source that the policy wants in the SCIM directory of a provision.
type SyncedGroup struct {
	Source string // id of the source's group
	Name   string // that it is to have at Atlassian
	Entry  string // of the policy's groups
	Create bool   // make the group if it is not there
	Former bool   // the policy knows the source's group by its former name alone, and Name is of no account
}

// SyncedGroups lists which of some groups of identity sources the policy wants in the SCIM directory of a provision.
// former are the names by which groups were bound, by the source group's id: an entry may know one by that alone.
func (b *Bound) SyncedGroups(name string, groups []access.Group, former map[string]string) (all []SyncedGroup) {
	for _, g := range groups {
		if g.Source == "" {
			continue
		}
		entry, target := b.syncs.entry(g.Name)
		renamed := entry == nil
		if renamed {
			entry, target = b.syncs.entry(former[g.ID])
		}
		if entry != nil && entry.As == provision.Synced && entry.Provision == name {
			all = append(all, SyncedGroup{Source: g.ID, Name: target, Entry: entry.Name, Create: entry.Create,
				Former: renamed})
		}
	}
	return all
}

// SyncedNames returns the names, folded, that groups of identity sources have in SCIM directories by the policy.
func (b *Bound) SyncedNames(groups []access.Group) map[string]bool {
	return b.syncs.syncedNames(groups)
}

func (s *groupSyncs) syncedNames(groups []access.Group) map[string]bool {
	names := map[string]bool{}
	for _, g := range groups {
		if g.Source == "" {
			continue
		}
		if entry, target := s.entry(g.Name); entry != nil && entry.As == provision.Synced {
			names[access.Fold(target)] = true
		}
	}
	return names
}
