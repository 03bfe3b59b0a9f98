package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/elimity-com/scim"
	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/schema"
	"github.com/google/uuid"
	"github.com/scim2/filter-parser/v2"

	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy/attribute"
	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/feed"
)

// users are the users that an identity provider pushes: the people of the source.
type users struct{ *pushed }

// Create records a user under a new id.
func (u users) Create(r *http.Request, given scim.ResourceAttributes) (scim.Resource, error) {
	if _, said := given["active"]; !said {
		given["active"] = true
	}
	return u.save(r.Context(), uuid.NewString(),
		func(map[string]any) (map[string]any, error) { return given, nil }, true)
}

// Replace records everything about a user anew.
func (u users) Replace(r *http.Request, id string, given scim.ResourceAttributes) (scim.Resource, error) {
	return u.save(r.Context(), id, func(was map[string]any) (map[string]any, error) {
		if _, said := given["active"]; !said {
			given["active"] = was["active"] // that it is not said disables nobody
		}
		return given, nil
	}, false)
}

// Patch changes what is recorded of a user.
func (u users) Patch(r *http.Request, id string, operations []scim.PatchOperation) (scim.Resource, error) {
	return u.save(r.Context(), id, func(is map[string]any) (map[string]any, error) {
		for _, o := range operations {
			if err := patch(is, o, schema.CoreUserSchema()); err != nil {
				return nil, err
			}
		}
		return is, nil
	}, false)
}

// Delete records that a user is gone.
func (u users) Delete(r *http.Request, id string) error {
	return u.failed(u.env.Ledger.Push(r.Context(), u.org, u.spec.Name, u.limits(),
		func(ctx context.Context, p *ledger.Push) error { return p.DeleteUser(ctx, id) }, u.env.Now()), id)
}

// Get returns a user.
func (u users) Get(r *http.Request, id string) (scim.Resource, error) {
	return u.one(r, ledger.ResourceUser, id, u.shown)
}

// GetAll lists users.
func (u users) GetAll(r *http.Request, params scim.ListRequestParams) (scim.Page, error) {
	return u.list(r, ledger.ResourceUser, params, u.shown)
}

func (u users) shown(_ *http.Request, r ledger.Resource) (scim.Resource, error) {
	attributes, err := attributesOf(r)
	return answered(r, attributes), err
}

// save records a user as change makes it of what is recorded.
func (u users) save(ctx context.Context, id string, change func(is map[string]any) (map[string]any, error),
	fresh bool) (saved scim.Resource, err error) {
	err = u.env.Ledger.Push(ctx, u.org, u.spec.Name, u.limits(), func(ctx context.Context, p *ledger.Push) error {
		was := map[string]any{}
		if !fresh {
			known, err := p.Resource(ctx, ledger.ResourceUser, id)
			if err == nil {
				was, err = attributesOf(known)
			}
			if err != nil {
				return err
			}
		}
		is, err := change(was)
		if err != nil {
			return err
		}
		delete(is, "password") // no secret belongs into the record
		delete(is, "groups")
		r, i, err := u.user(id, is)
		if err != nil {
			return err
		}
		if err := p.SaveUser(ctx, r, i); err != nil {
			return err
		}
		r, err = p.Resource(ctx, ledger.ResourceUser, id)
		if err == nil {
			saved, err = u.shown(nil, r)
		}
		return err
	}, u.env.Now())
	return saved, u.failed(err, id)
}

// user is a user as it is recorded, and what it says of the person.
func (u users) user(id string, attributes map[string]any) (r ledger.Resource, i ledger.Identity, err error) {
	body, err := json.Marshal(attributes)
	var plain map[string]any
	if err == nil {
		err = json.Unmarshal(body, &plain)
	}
	if err != nil {
		return r, i, err
	}
	i = ledger.Identity{Key: id, Attributes: body}
	if active, said := plain["active"].(bool); said {
		i.Enabled = &active
	}
	if err := feed.Check(source.Identity{Key: id, Attributes: plain}); err != nil {
		return r, i, scimerrors.ScimErrorBadRequest(err.Error())
	}
	asked := &attribute.Subject{Source: u.spec.Name, Key: id, Enabled: i.Enabled, Attributes: plain}
	if i.Address, err = u.email.Value(asked); err != nil {
		i.Address = "" // nobody is linked by an address that cannot be told
	}
	return ledger.Resource{Kind: ledger.ResourceUser, ID: id, Name: ledger.FoldResourceName(textOf(plain, "userName")),
		External: textOf(plain, "externalId"), Body: body}, i, nil
}

// groups are the groups that an identity provider pushes.
type groups struct{ *pushed }

// Create records a group under a new id.
func (g groups) Create(r *http.Request, given scim.ResourceAttributes) (scim.Resource, error) {
	return g.save(r, uuid.NewString(), func(map[string]any) (map[string]any, error) { return given, nil }, true)
}

// Replace records everything about a group anew, its members too.
func (g groups) Replace(r *http.Request, id string, given scim.ResourceAttributes) (scim.Resource, error) {
	return g.save(r, id, func(map[string]any) (map[string]any, error) { return given, nil }, false)
}

// Patch changes what is recorded of a group.
func (g groups) Patch(r *http.Request, id string, operations []scim.PatchOperation) (scim.Resource, error) {
	return g.save(r, id, func(is map[string]any) (map[string]any, error) {
		for _, o := range operations {
			if err := patch(is, o, schema.CoreGroupSchema()); err != nil {
				return nil, err
			}
		}
		return is, nil
	}, false)
}

// Delete records that a group is gone: nobody is in it any more.
func (g groups) Delete(r *http.Request, id string) error {
	return g.failed(g.env.Ledger.Push(r.Context(), g.org, g.spec.Name, g.limits(),
		func(ctx context.Context, p *ledger.Push) error { return p.DeleteGroup(ctx, id) }, g.env.Now()), id)
}

// Get returns a group.
func (g groups) Get(r *http.Request, id string) (scim.Resource, error) {
	return g.one(r, ledger.ResourceGroup, id, g.shown)
}

// GetAll lists groups.
func (g groups) GetAll(r *http.Request, params scim.ListRequestParams) (scim.Page, error) {
	return g.list(r, ledger.ResourceGroup, params, g.shown)
}

// shown is a group with its members, unless the request leaves them out.
func (g groups) shown(r *http.Request, is ledger.Resource) (scim.Resource, error) {
	attributes, err := attributesOf(is)
	if err != nil || strings.Contains(strings.ToLower(r.URL.Query().Get("excludedAttributes")), "members") {
		return answered(is, attributes), err
	}
	members, err := g.env.Ledger.MembersPushed(r.Context(), g.org, g.spec.Name, is.ID)
	if len(members) > 0 {
		attributes["members"] = elements(members)
	}
	return answered(is, attributes), err
}

// elements are members as SCIM has them.
func elements(members []string) []any {
	all := make([]any, len(members))
	for i, id := range members {
		all[i] = map[string]any{"value": id}
	}
	return all
}

// save records a group as change makes it of what is recorded.
func (g groups) save(request *http.Request, id string, change func(is map[string]any) (map[string]any, error),
	fresh bool) (scim.Resource, error) {
	var saved ledger.Resource
	err := g.env.Ledger.Push(request.Context(), g.org, g.spec.Name, g.limits(),
		func(ctx context.Context, p *ledger.Push) (err error) {
			was := map[string]any{}
			if !fresh {
				if was, err = g.recorded(ctx, p, id); err != nil {
					return err
				}
			}
			is, err := change(was)
			if err != nil {
				return err
			}
			members, err := membersOf(is)
			if err != nil {
				return err
			}
			delete(is, "members")
			name := strings.TrimSpace(textOf(is, "displayName"))
			if name == "" || len(name) > source.MaxName {
				return scimerrors.ScimErrorBadRequest("displayName is missing, or too long")
			}
			body, err := json.Marshal(is)
			if err != nil {
				return err
			}
			saved = ledger.Resource{Kind: ledger.ResourceGroup, ID: id, Name: ledger.FoldResourceName(name),
				External: textOf(is, "externalId"), Body: body}
			if err := p.SaveGroup(ctx, saved, name, members); err != nil {
				if errors.Is(err, ledger.ErrNotFound) { // 404 would say that there is no such group
					return scimerrors.ScimErrorBadRequest(err.Error())
				}
				return err
			}
			saved, err = p.Resource(ctx, ledger.ResourceGroup, id)
			return err
		}, g.env.Now())
	if err != nil {
		return scim.Resource{}, g.failed(err, id)
	}
	is, err := g.shown(request, saved)
	return is, g.failed(err, id)
}

// recorded is what is recorded of a group, its members too.
func (g groups) recorded(ctx context.Context, p *ledger.Push, id string) (map[string]any, error) {
	known, err := p.Resource(ctx, ledger.ResourceGroup, id)
	if err != nil {
		return nil, err
	}
	attributes, err := attributesOf(known)
	if err != nil {
		return nil, err
	}
	members, err := p.Members(ctx, id)
	attributes["members"] = elements(members)
	return attributes, err
}

// membersOf are the ids of the members among a group's attributes.
func membersOf(attributes map[string]any) (ids []string, err error) {
	all, _ := attributes["members"].([]any)
	for _, one := range all {
		member, _ := one.(map[string]any)
		id := textOf(member, "value")
		if id == "" || len(id) > source.MaxKey {
			return nil, scimerrors.ScimErrorInvalidValue
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// one returns a resource.
func (p *pushed) one(r *http.Request, kind ledger.ResourceKind, id string,
	show func(*http.Request, ledger.Resource) (scim.Resource, error)) (scim.Resource, error) {
	found, _, err := p.env.Ledger.Resources(r.Context(), p.org, p.spec.Name,
		ledger.ResourceQuery{Kind: kind, ID: id, Limit: 1})
	if err == nil && len(found) == 0 {
		err = ledger.ErrNotFound
	}
	if err != nil {
		return scim.Resource{}, p.failed(err, id)
	}
	is, err := show(r, found[0])
	return is, p.failed(err, id)
}

// list returns a page of resources: all, or those with an id, a name or an external id.
func (p *pushed) list(r *http.Request, kind ledger.ResourceKind, params scim.ListRequestParams,
	show func(*http.Request, ledger.Resource) (scim.Resource, error)) (scim.Page, error) {
	q := ledger.ResourceQuery{Kind: kind, Skip: params.StartIndex - 1, Limit: params.Count}
	if params.FilterValidator != nil && !narrow(&q, params.FilterValidator.GetFilter()) {
		return scim.Page{}, scimerrors.ScimErrorInvalidFilter
	}
	found, total, err := p.env.Ledger.Resources(r.Context(), p.org, p.spec.Name, q)
	page := scim.Page{TotalResults: total, Resources: []scim.Resource{}}
	for _, one := range found {
		var is scim.Resource
		if err == nil {
			is, err = show(r, one)
		}
		page.Resources = append(page.Resources, is)
	}
	return page, p.failed(err, "")
}

// compared is the value that a filter compares with. The parser leaves a string as JSON has it.
func compared(e *filter.AttributeExpression) any {
	text, is := e.CompareValue.(string)
	var plain string
	if is && json.Unmarshal([]byte(`"`+text+`"`), &plain) == nil {
		return plain
	}
	return e.CompareValue
}

// narrow adds a filter to a query; false: it is none that identity providers need to find what they pushed.
func narrow(q *ledger.ResourceQuery, expression filter.Expression) bool {
	switch e := expression.(type) {
	case *filter.LogicalExpression:
		return e.Operator == filter.AND && narrow(q, e.Left) && narrow(q, e.Right)
	case *filter.AttributeExpression:
		value, is := compared(e).(string)
		if !is || value == "" || e.Operator != filter.EQ || e.AttributePath.SubAttribute != nil {
			return false
		}
		name := strings.ToLower(e.AttributePath.AttributeName)
		named := map[ledger.ResourceKind]string{ledger.ResourceUser: "username", ledger.ResourceGroup: "displayname"}[q.Kind]
		switch at := slices.Index([]string{named, "externalid", "id"}, name); {
		case at == 0 && q.Name == "":
			q.Name = ledger.FoldResourceName(value)
		case at == 1 && q.External == "":
			q.External = value
		case at == 2 && q.ID == "":
			q.ID = value
		default:
			return false
		}
		return true
	}
	return false
}
