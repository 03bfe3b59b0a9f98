package access

import "strings"

// sourceGroup is how the ids of groups begin that an identity source has. None of Atlassian's begins so.
const sourceGroup = "source:"

// IsSourceGroup reports whether an id is that of an identity source's group, as [SourceGroupID] makes it.
func IsSourceGroup(id string) bool { return strings.HasPrefix(id, sourceGroup) }

// KindRecord is the kind of a person's record in a SCIM directory, as a target of changes. No policy names it.
const KindRecord Kind = "record"

// RecordTarget returns the target of the changes of records that a provision of the policy makes.
func RecordTarget(provision string) Entitlement {
	return Entitlement(KindRecord) + ":" + Entitlement(provision)
}

// RecordOf returns the provision whose record a target is; "" if it is none.
func RecordOf(e Entitlement) string {
	name, found := strings.CutPrefix(string(e), string(KindRecord)+":")
	if !found {
		return ""
	}
	return name
}

// The kinds of the groups of a SCIM directory, as targets of changes: being a member of one, and that it is there. No
// policy names them.
const (
	KindSCIMGroup       Kind = "scim-group"
	KindSCIMGroupExists Kind = "scim-group-exists"
)

// SCIMGroupTarget returns the target of the changes of who is in a group of a provision's directory.
func SCIMGroupTarget(provision, group string) Entitlement {
	return Entitlement(KindSCIMGroup) + ":" + Entitlement(provision) + "/" + Entitlement(group)
}

// SCIMGroupExists returns the target of the changes by which a group of a provision's directory is made and deleted.
func SCIMGroupExists(provision, group string) Entitlement {
	return Entitlement(KindSCIMGroupExists) + ":" + Entitlement(provision) + "/" + Entitlement(group)
}

// SCIMGroupOf returns the provision and the name of the group that a target is about; both are "" if it is about none.
func SCIMGroupOf(e Entitlement) (provision, group string) {
	if kind := e.Kind(); kind != KindSCIMGroup && kind != KindSCIMGroupExists {
		return "", ""
	}
	_, rest, _ := strings.Cut(string(e), ":")
	provision, group, _ = strings.Cut(rest, "/")
	return provision, group
}

// ProvisionOf returns the provision whose directory a target is in, as a record or a group; "" if it is in none.
func ProvisionOf(e Entitlement) string {
	if provision, _ := SCIMGroupOf(e); provision != "" {
		return provision
	}
	return RecordOf(e)
}

// GroupAttribute stands in a plan for the SCIM group, by its id, that somebody leaves only because it is deleted.
const GroupAttribute = "group"

// LeavesWithGroup reports whether somebody leaves a SCIM group only because it is deleted: nothing is written for them
// alone.
func LeavesWithGroup(c Change) bool {
	return c.Target.Kind() == KindSCIMGroup && len(c.Edits) > 0 && c.Edits[0].Attribute == GroupAttribute
}
