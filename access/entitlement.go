package access

import (
	"fmt"
	"strings"
)

// Entitlement is what a person can hold, in its written form:
//
//	group:<name>                  membership in a group
//	default:<app>/<site>/<role>   membership in whichever groups are default for that role now
//	role:org-admin                the organization-admin role (through the role calls, not through a group)
//	role:<app>/<site>/<role>      an app role given directly
//	directory                     being active rather than suspended in the directory
//	organization                  being in the directory at all
//
// Group names compare without regard to case, as Atlassian's own search does.
type Entitlement string

// Kind is the part of an entitlement before the colon.
type Kind string

// The kinds of entitlement.
const (
	KindGroup     Kind = "group"
	KindDefault   Kind = "default"
	KindRole      Kind = "role"
	KindDirectory Kind = "directory"

	KindOrganization Kind = "organization"
)

// OrgAdmin is the organization-admin role.
const OrgAdmin Entitlement = "role:org-admin"

// Directory is the entitlement to be active in the directory.
const Directory Entitlement = "directory"

// Organization is the entitlement to be in the organization at all. Rules take it away; nothing gives it.
const Organization Entitlement = "organization"

// Presence reports whether the entitlement is about being in the organization or directory, rather than about access.
func (e Entitlement) Presence() bool { return e == Directory || e == Organization }

// GroupEntitlement returns the entitlement of membership in the named group.
func GroupEntitlement(name string) Entitlement {
	return Entitlement(KindGroup) + ":" + Entitlement(name)
}

// ParseEntitlement reads an entitlement's written form and replaces its app name by Atlassian's own (jira becomes
// jira-software). The error quotes what was written and gives the right form.
func ParseEntitlement(s string) (Entitlement, error) {
	if Entitlement(s).Presence() {
		return Entitlement(s), nil
	}
	kind, rest, found := strings.Cut(s, ":")
	if !found || rest == "" {
		return "", fmt.Errorf("%q is not an entitlement%s: write group:<name>, default:<app>/<site>/<role>, role:org-admin, role:<app>/<site>/<role> or directory", s, suggestion(s, string(OrgAdmin), string(Directory)))
	}
	switch Kind(kind) {
	case KindGroup:
		return Entitlement(s), nil
	case KindRole, KindDefault:
		if Entitlement(s) == OrgAdmin {
			return OrgAdmin, nil
		}
		parts := strings.Split(rest, "/")
		if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
			if Kind(kind) == KindRole && len(parts) == 1 && Nearest(rest, "org-admin") != "" {
				return "", fmt.Errorf("%q is not an entitlement; did you mean %s? Of an app, write role:<app>/<site>/<role>", s, OrgAdmin)
			}
			return "", fmt.Errorf("%q: write %s:<app>/<site>/<role>, for example %s:jira/acme/user", s, kind, kind)
		}
		return Entitlement(fmt.Sprintf("%s:%s/%s/%s", kind, AppKey(parts[0]), strings.ToLower(parts[1]),
			strings.ToLower(parts[2]))), nil
	default:
		return "", fmt.Errorf("%q: unknown kind %q of entitlement%s; the kinds are group, default, role and directory",
			s, kind,
			suggestion(kind, string(KindGroup), string(KindDefault), string(KindRole), string(KindDirectory)))
	}
}

// suggestion returns a suggestion of what may have been meant, for an error.
func suggestion(written string, known ...string) string {
	if near := Nearest(written, known...); near != "" {
		return " (did you mean " + near + "?)"
	}
	return ""
}

// Kind returns the part before the colon.
func (e Entitlement) Kind() Kind {
	kind, _, _ := strings.Cut(string(e), ":")
	return Kind(kind)
}

// Group returns the group's name, or "" when e is not a group entitlement.
func (e Entitlement) Group() string {
	name, found := strings.CutPrefix(string(e), string(KindGroup)+":")
	if !found {
		return ""
	}
	return name
}

// AppSiteRole splits a default or app-role entitlement; ok is false for every other kind.
func (e Entitlement) AppSiteRole() (app, site, role string, ok bool) {
	_, rest, _ := strings.Cut(string(e), ":")
	parts := strings.Split(rest, "/")
	if (e.Kind() != KindDefault && e.Kind() != KindRole) || len(parts) != 3 {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}

// appKeys maps the names people use to the keys that Atlassian's resource identifiers carry.
var appKeys = map[string]string{
	"jira":                    "jira-software",
	"jsm":                     "jira-servicedesk",
	"jira-service-management": "jira-servicedesk",
	"jira-servicemanagement":  "jira-servicedesk",
	"jira-service-desk":       "jira-servicedesk",
	"jpd":                     "jira-product-discovery",
	"jwm":                     "jira-core",
}

// AppKey returns the key of an app in Atlassian's resource identifiers (ari:cloud:<key>::site/<id>). A name that it
// does not know is returned in lower case: apps come and go, so none is refused here.
func AppKey(name string) string {
	name = strings.ToLower(name)
	if key, known := appKeys[name]; known {
		return key
	}
	return name
}
