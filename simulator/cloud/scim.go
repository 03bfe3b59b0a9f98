package cloud

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// An identity provider writes to its SCIM directory, of which an organization may have several. Each has its own keys
// and IDs; the organization's directory shows its groups as synced groups that nobody else can change.

const (
	scimUserSchema       = "urn:ietf:params:scim:schemas:core:2.0:User"
	scimGroupSchema      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	scimEnterpriseSchema = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	scimAtlassianSchema  = "urn:scim:schemas:extension:atlassian-external:1.0"
	scimListSchema       = "urn:ietf:params:scim:api:messages:2.0:ListResponse"

	// scimPage is the most resources on one page. The vendor documents no figure.
	scimPage = 100
	// scimGroupLimit is the most users in one group, and scimUserLimit in one directory (the vendor's figures).
	scimGroupLimit = 35_000
	scimUserLimit  = 150_000
)

// scimGroup is an identity provider's group.
type scimGroup struct {
	id, name, externalID string
	dir                  *scimDirectory
	group                *group // of the directory; for an unseen one, that nobody can find
	phantom              bool   // has the name of a default group: accepted, and never seen again
	conflict             bool   // has the name of a local group: held back until a person accepts it
	created, modified    instant
	deleted              instant // zero: it is there
}

// unseen reports whether the organization does not show the group.
func (g *scimGroup) unseen() bool { return g.phantom || g.conflict }

// scimDirectory is one identity provider's users and groups.
type scimDirectory struct {
	id, name   string
	keys       map[string]KeyState
	users      []*scimUser // in the order of creation
	byID       map[string]*scimUser
	byUserName map[string]*scimUser // lower case
	gone       []*scimUser          // deleted lately: reads that lag still show them
	groups     []*scimGroup
	goneGroups []*scimGroup // all that were ever deleted
	groupByID  map[string]*scimGroup
}

func newSCIMDirectory(id, name, key string) *scimDirectory {
	return &scimDirectory{id: id, name: name, keys: map[string]KeyState{key: KeyValid}, byID: map[string]*scimUser{},
		byUserName: map[string]*scimUser{}, groupByID: map[string]*scimGroup{}}
}

func (d *scimDirectory) addUser(u *scimUser) {
	u.dir = d
	d.users = append(d.users, u)
	d.byID[u.id] = u
	d.byUserName[strings.ToLower(u.userName)] = u
}

func (d *scimDirectory) addGroup(g *scimGroup) {
	g.dir = d
	d.groups = append(d.groups, g)
	d.groupByID[g.id] = g
}

func (d *scimDirectory) group(name string) *scimGroup {
	for _, g := range d.groups {
		if strings.EqualFold(g.name, name) {
			return g
		}
	}
	return nil
}

// scimByKey returns the directory of a key, and whether the key is good.
func (c *Cloud) scimByKey(key string) (d *scimDirectory, good bool) {
	for _, d := range c.scims {
		if state, known := d.keys[key]; known {
			return d, state == KeyValid && (key != c.options.SCIMKey || c.settings.SCIMKey == KeyValid)
		}
	}
	return nil, false
}

// expireSCIMKey makes a key of a SCIM directory worthless.
func (c *Cloud) expireSCIMKey(key string) {
	if key == c.options.SCIMKey {
		c.settings.SCIMKey = KeyExpired
	} else if d, _ := c.scimByKey(key); d != nil {
		d.keys[key] = KeyExpired
	}
}

func scimError(status int, scimType, detail string) answer {
	return answer{status: status, problem: &problem{detail: detail, scimType: scimType}}
}

func scimNotFound(id string) answer {
	return scimError(http.StatusNotFound, "", "Resource "+id+" not found.")
}

// scimList returns one page of a list; startIndex counts from 1.
func (c *Cloud) scimList(r *call, total int, item func(int) any) answer {
	largest := scimPage
	if c.settings.SCIMPage > 0 {
		largest = c.settings.SCIMPage
	}
	start, count := 1, largest
	for name, into := range map[string]*int{"startIndex": &start, "count": &count} {
		if text := r.URL.Query().Get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				return scimError(http.StatusBadRequest, "invalidValue", name+" must be a number.")
			}
			*into = n
		}
	}
	start, count = max(start, 1), min(max(count, 0), largest)
	p := &page{items: []any{}}
	for i := start - 1; i < min(total, start-1+count); i++ {
		p.items = append(p.items, item(i))
	}
	p.render = func(items []any, _ string) any {
		return map[string]any{"schemas": []string{scimListSchema}, "totalResults": total, "startIndex": start,
			"itemsPerPage": len(items), "Resources": items}
	}
	return answer{status: http.StatusOK, page: p}
}

// scimFilter parses the one supported form of filter: attribute eq "value".
func scimFilter(text string, attributes ...string) (attribute, value string, err error) {
	parts := strings.SplitN(strings.TrimSpace(text), " ", 3)
	if len(parts) == 3 && strings.EqualFold(parts[1], "eq") {
		value, unquoteErr := strconv.Unquote(strings.TrimSpace(parts[2]))
		at := slices.IndexFunc(attributes, func(a string) bool { return strings.EqualFold(a, parts[0]) })
		if unquoteErr == nil && at >= 0 {
			return attributes[at], value, nil
		}
	}
	return "", "", fmt.Errorf("filter %q is not supported: write %s eq \"value\"", text,
		strings.Join(attributes, " or "))
}

func (c *Cloud) scimMeta(r *call, kind, id string, created, modified instant) map[string]any {
	// The schema lists USER and GROUP; only the vendor's example writes Group.
	location := strings.TrimSuffix(r.base(), "/admin") + "/scim/directory/" + r.scim.id + "/" + kind + "s/" + id
	return map[string]any{"resourceType": strings.ToUpper(kind), "location": location, "created": timestamp(created),
		"lastModified": timestamp(modified)}
}
