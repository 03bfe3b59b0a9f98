package cloud

import (
	"fmt"
	"slices"
	"strings"
)

// orgAdminsGroup is a group that once made organization admins and no longer does.
const orgAdminsGroup = "org-admins"

// apps are those with several names; any other app has one name everywhere.
var apps = map[string]resource{
	"jira":       {app: "jira", owner: "jira-software", activity: "jira-software", title: "Jira"},
	"confluence": {app: "confluence", owner: "confluence", activity: "confluence", title: "Confluence"},
	"jsm": {app: "jira-servicemanagement", owner: "jira-servicedesk", activity: "jira-service-desk",
		title: "Jira Service Management"},
}

// appNamed returns the app for any of the names that people and Atlassian use for it.
func appNamed(name string) resource {
	name = strings.ToLower(name)
	for short, app := range apps {
		if name == short || name == app.app || name == app.owner || name == app.activity {
			return app
		}
	}
	return resource{app: name, owner: name, activity: name, title: name}
}

// addSites creates each app on each site, with the local default groups of a new site.
func (c *Cloud) addSites(sites, names []string) {
	c.groupSeed(orgAdminsGroup, false)
	for _, site := range sites {
		cloudID := c.stableID("site", site)
		for _, name := range names {
			r := appNamed(name)
			r.site, r.cloudID = site, cloudID
			r.ari = fmt.Sprintf("ari:cloud:%s::site/%s", r.owner, cloudID)
			c.resources = append(c.resources, &r)
			c.defaultGroup(&r, "users", "atlassian/user")
			c.defaultGroup(&r, "admins", "atlassian/admin")
			if r.owner == "jira-servicedesk" {
				c.defaultGroup(&r, "customers", "atlassian/customer")
			}
		}
	}
}

func (c *Cloud) defaultGroup(r *resource, kind, role string) {
	g := c.groupSeed(r.app+"-"+kind+"-"+r.site, false)
	g.grants = append(g.grants, roleGrant{resource: r, role: role, byDefault: true})
}

// groupSeed creates a group without an event, with an ID that follows from its name.
func (c *Cloud) groupSeed(name string, synced bool) *group {
	g := &group{id: c.stableID("group", name), name: name, key: strings.ToLower(name), synced: synced,
		created: c.born - int64(3600e9)}
	c.insertGroup(g)
	if synced {
		g.scim = &scimGroup{id: c.stableID("scim-group", name), name: name, group: g, created: g.created,
			modified: g.created}
		c.scims[0].addGroup(g.scim)
	}
	return g
}

// app returns an app on a site by any of its names.
func (d *directory) app(name, site string) (*resource, error) {
	owner := appNamed(name).owner
	at := slices.IndexFunc(d.resources,
		func(r *resource) bool { return r.owner == owner && strings.EqualFold(r.site, site) })
	if at < 0 {
		return nil, fmt.Errorf("there is no app %q on a site %q", name, site)
	}
	return d.resources[at], nil
}

// fullRole accepts user for atlassian/user.
func fullRole(role string) (string, error) {
	if !strings.Contains(role, "/") {
		role = "atlassian/" + role
	}
	if !slices.Contains(roleIDs, role) {
		return "", fmt.Errorf("role %q is unknown; write one of %s", role, strings.Join(roleIDs, ", "))
	}
	return role, nil
}
