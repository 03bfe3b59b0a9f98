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
