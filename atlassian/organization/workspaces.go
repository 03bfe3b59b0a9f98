package organization

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// Workspace is an app on a site.
type Workspace struct {
	ID       string // ARI, for example ari:cloud:jira-software::site/<cloud id>
	Key      string // the app's key, in lower case, for example confluence
	Type     string // the app's name for people, for example Confluence
	Name     string
	HostURL  string // for example https://acme.atlassian.net; may be empty
	Status   string // online, offline or deprecated
	Capacity int    // seats; -1 if unknown or unlimited
	Usage    int    // seats used; -1 if unknown
}

// Site returns the short name of the site, the first label of its host: acme. It is "" if the workspace has no host.
func (w Workspace) Site() string {
	u, err := url.Parse(w.HostURL)
	if err != nil {
		return ""
	}
	site, _, _ := strings.Cut(u.Hostname(), ".")
	return strings.ToLower(site)
}

type workspaceItem struct {
	ID, Type   string
	Attributes struct {
		Name, TypeKey, Type, HostURL, Status string
		Capacity, Usage                      *int
	}
}

func (i workspaceItem) workspace() (Workspace, error) {
	if i.ID == "" {
		return Workspace{}, errNoID
	}
	a := i.Attributes
	w := Workspace{
		ID: i.ID, Key: a.TypeKey, Type: a.Type, Name: a.Name, HostURL: a.HostURL, Status: a.Status,
		Capacity: orUnknown(a.Capacity), Usage: orUnknown(a.Usage),
	}
	// In real responses the key was in any of the three places.
	for _, key := range []string{a.Type, i.Type} {
		if w.Key == "" {
			w.Key = key
		}
	}
	w.Key = strings.ToLower(w.Key)
	return w, nil
}

// workspacePage is well below the API's limit of 1000, so that a response stays small; nearly every organization fits
// in one.
const workspacePage = 250

// Workspaces lists the apps on the organization's sites.
func (c *Client) Workspaces(ctx context.Context, cursor string) (Page[Workspace], error) {
	body := struct {
		Cursor string `json:"cursor,omitempty"`
		Limit  int    `json:"limit,omitempty"`
	}{Limit: workspacePage}
	if cursor != "" {
		body.Cursor, body.Limit = cursor, 0 // the API refuses anything beside a cursor
	}
	return list(ctx, c, wire.Request{
		Operation: "list workspaces", Method: http.MethodPost, Path: wire.Path("v2", "orgs", c.org, "workspaces"),
		Body: body,
	}, cursor, workspaceItem.workspace)
}
