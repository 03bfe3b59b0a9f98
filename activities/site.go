package activities

import (
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
)

// siteOf reads an app on a site from a workspace. The app's key is the service part of the resource identifier
// (ari:cloud:<key>::site/<id>), which the vendor keeps steadier than the workspace's type fields. ok is false for a
// workspace that is not an app on a site.
func siteOf(w organization.Workspace) (site access.Site, ok bool) {
	parts := strings.Split(w.ID, ":")
	if len(parts) < 5 || parts[0] != "ari" || parts[2] == "" || w.Site() == "" {
		return access.Site{}, false
	}
	return access.Site{App: access.AppKey(parts[2]), Site: w.Site(), Resource: w.ID}, true
}
