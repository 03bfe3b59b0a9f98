package access

import "strings"

// The kinds of what the restore of a lost group writes, as targets of changes. No policy names them. The person of a
// line is an account, or, of the lines about the group itself, the id that the lost group had.
const (
	KindRestore   Kind = "group-restore" // the group itself, or a membership in it
	KindGroupRole Kind = "group-role"    // an app role that the group gives
)

// RestoreTarget returns the target of a restored group and of its memberships, by its name.
func RestoreTarget(name string) Entitlement {
	return Entitlement(KindRestore) + ":" + Entitlement(name)
}

// RestoreOf returns the name of the group whose restore a target is; ok is false for all others.
func RestoreOf(e Entitlement) (name string, ok bool) {
	return strings.CutPrefix(string(e), string(KindRestore)+":")
}

// GroupRoleTarget returns the target of a role that a group gives on a resource: its app's ARI.
func GroupRoleTarget(role, resource string) Entitlement {
	return Entitlement(KindGroupRole) + ":" + Entitlement(role) + "@" + Entitlement(resource)
}

// GroupRoleOf returns the role and the resource of such a target; ok is false for all others.
func GroupRoleOf(e Entitlement) (role, resource string, ok bool) {
	rest, ok := strings.CutPrefix(string(e), string(KindGroupRole)+":")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, "@")
}

// Restores reports whether a change of the target belongs to the restore of a lost group.
func (e Entitlement) Restores() bool { return e.Kind() == KindRestore || e.Kind() == KindGroupRole }
