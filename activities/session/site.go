package session

import (
	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
)

// siteOf reads an app on a site from a workspace. The app's key is the service part of the resource identifier
// (ari:cloud:<key>::site/<id>), which the vendor keeps steadier than the workspace's type fields. ok is false for a
// workspace that is not an app on a site.
func siteOf(w organization.Workspace) (site access.Site, ok bool) {
	app := access.AppOf(w.ID)
	return access.Site{App: app, Site: w.Site(), Resource: w.ID}, app != "" && w.Site() != ""
}
