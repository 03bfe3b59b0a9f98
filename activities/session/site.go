package session

import (
	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
)

// siteOf returns the app on a site that a workspace is. The app's key is the service part of the resource identifier
// (ari:cloud:<key>::site/<id>), which is more stable than the workspace's type fields. ok is false for any other
// workspace.
func siteOf(w organization.Workspace) (site access.Site, ok bool) {
	app := access.AppOf(w.ID)
	return access.Site{App: app, Site: w.Site(), Resource: w.ID}, app != "" && w.Site() != ""
}
