package access_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
)

func TestEntitlementsAreRead(t *testing.T) {
	for written, want := range map[string]access.Entitlement{
		"group:jira-users":                "group:jira-users",
		"group:Jira Users: all":           "group:Jira Users: all",
		"group: jira ":                    "group: jira ",
		"default:jira/Acme/User":          "default:jira-software/acme/user",
		"default:confluence/acme/user":    "default:confluence/acme/user",
		"default:jsm/acme/customer":       "default:jira-servicedesk/acme/customer",
		"role:jira-software/acme/admin":   "role:jira-software/acme/admin",
		"role:jpd/acme/user":              "role:jira-product-discovery/acme/user",
		"role:org-admin":                  access.OrgAdmin,
		"directory":                       access.Directory,
		"default:some-new-app/acme/admin": "default:some-new-app/acme/admin",
	} {
		read, err := access.ParseEntitlement(written)
		require.NoError(t, err)
		require.Equal(t, want, read)
		again, err := access.ParseEntitlement(string(read))
		require.NoError(t, err)
		require.Equal(t, read, again, "what was read is read the same")
	}
}

func TestWhatIsNoEntitlementIsRefused(t *testing.T) {
	for written, want := range map[string]string{
		"":                       "is not an entitlement",
		"jira-users":             `"jira-users" is not an entitlement: write group:`,
		"group:":                 "is not an entitlement",
		"default:jira/acme":      "write default:<app>/<site>/<role>",
		"default:jira/acme/a/b":  "write default:<app>/<site>/<role>",
		"role:jira//user":        "write role:<app>/<site>/<role>",
		"role:site-admin":        "write role:<app>/<site>/<role>",
		"licence:jira/acme/user": `unknown kind "licence"`,
		"Group:jira":             `unknown kind "Group" of entitlement (did you mean group?)`,
		"role:orgadmin":          "did you mean role:org-admin?",
		"role:org_admin":         "did you mean role:org-admin?",
		"Role:org-admin":         "did you mean role?",
		"org-admin":              "did you mean role:org-admin?",
		"directry":               "did you mean directory?",
		"directory:active":       `"directory:active"`,
	} {
		_, err := access.ParseEntitlement(written)
		require.ErrorContains(t, err, want, "%q", written)
	}
}

func TestTheParts(t *testing.T) {
	for _, c := range []struct {
		e               access.Entitlement
		kind            access.Kind
		group           string
		app, site, role string
		ok              bool
	}{
		{"group:a/b/c", access.KindGroup, "a/b/c", "", "", "", false},
		{"default:jira-software/acme/user", access.KindDefault, "", "jira-software", "acme", "user", true},
		{"role:confluence/acme/admin", access.KindRole, "", "confluence", "acme", "admin", true},
		{access.OrgAdmin, access.KindRole, "", "", "", "", false},
		{access.Directory, access.KindDirectory, "", "", "", "", false},
	} {
		require.Equal(t, c.kind, c.e.Kind())
		require.Equal(t, c.group, c.e.Group())
		app, site, role, ok := c.e.AppSiteRole()
		require.Equal(t, c.ok, ok)
		require.Equal(t, []string{c.app, c.site, c.role}, []string{app, site, role})
	}
	require.Equal(t, access.Entitlement("group:x y"), access.GroupEntitlement("x y"))
}

func TestAppNames(t *testing.T) {
	require.Equal(t, "jira-software", access.AppKey("Jira"))
	require.Equal(t, "jira-servicedesk", access.AppKey("jira-service-management"))
	require.Equal(t, "jira-core", access.AppKey("jwm"))
	require.Equal(t, "confluence", access.AppKey("Confluence"))
}
