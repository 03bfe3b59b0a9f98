package scim

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/castellan-io/castellan/source"
)

// folded gives members lower-case names: those of SCIM have no case.
func folded(object map[string]any) map[string]any {
	all := make(map[string]any, len(object))
	for name, value := range object {
		all[strings.ToLower(name)] = value
	}
	return all
}

// left are what is no attribute of a person: what says the same elsewhere, what changes by itself, and secrets.
var left = map[string]bool{"id": true, "schemas": true, "meta": true, "active": true, "groups": true, "password": true}

// person reads a user, and the keys of the groups that the service says the person is directly in.
func person(resource map[string]any) (p source.Identity, groups []string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("scim: %w: a user: %w", source.ErrMalformed, err)
		}
	}()
	if err = distinct(resource); err != nil {
		return source.Identity{}, nil, err
	}
	all := folded(resource)
	if p.Key, err = key(all["id"]); err != nil {
		return source.Identity{}, nil, fmt.Errorf("its id: %w", err)
	}
	if p.Enabled, err = boolean(all["active"]); err != nil {
		return source.Identity{}, nil, fmt.Errorf("%.100q: active: %w", p.Key, err)
	}
	p.Attributes = map[string]any{}
	for name, value := range resource {
		if left[strings.ToLower(name)] {
			continue
		}
		if value, err = canonicalValue(name, value); err != nil {
			return source.Identity{}, nil, fmt.Errorf("%.100q: %w", p.Key, err)
		}
		if value != nil {
			p.Attributes[canonical(name)] = value
		}
	}
	return p, directGroups(all["groups"]), nil
}

// directGroups reads only what is clear: services need not say how somebody is in a group.
func directGroups(value any) []string {
	list, _ := value.([]any)
	var groups []string
	for _, one := range list {
		entry, _ := one.(map[string]any)
		entry = folded(entry)
		id, err := key(entry["value"])
		kind, _ := entry["type"].(string)
		if err == nil && strings.EqualFold(kind, "direct") {
			groups = append(groups, id)
		}
	}
	return groups
}

// key reads an id. Services that count write numbers.
func key(value any) (string, error) {
	switch value := value.(type) {
	case string:
		if strings.TrimSpace(value) != "" {
			return value, nil
		}
	case float64:
		if value == math.Trunc(value) {
			return strconv.FormatFloat(value, 'f', -1, 64), nil
		}
	}
	return "", errors.New("it is missing or not a text")
}

// boolean reads true and false, which some services write as strings. Nil: not said.
func boolean(value any) (*bool, error) {
	switch value := value.(type) {
	case nil:
		return nil, nil
	case bool:
		return &value, nil
	case string:
		is := strings.EqualFold(value, "true")
		if is || strings.EqualFold(value, "false") {
			return &is, nil
		}
	}
	return nil, errors.New("neither true nor false")
}

// distinct refuses names that differ in their case only.
func distinct(object map[string]any) error {
	seen := make(map[string]bool, len(object))
	for name := range object {
		if name = strings.ToLower(name); seen[name] {
			return fmt.Errorf("%.100q is in it twice", name)
		}
		seen[name] = true
	}
	return nil
}

// canonicalValue gives an attribute's sub-attributes the names of RFC 7643, and its values an order. Names that it does
// not know stay as they are. Nil: the attribute is empty.
func canonicalValue(name string, value any) (any, error) {
	switch value := value.(type) {
	case map[string]any:
		if len(value) == 0 {
			return nil, nil
		}
		if err := distinct(value); err != nil {
			return nil, fmt.Errorf("%.100s: %w", name, err)
		}
		extension := strings.HasPrefix(strings.ToLower(name), "urn:")
		all := make(map[string]any, len(value))
		for inner, v := range value {
			if extension && !strings.EqualFold(name, enterprise) {
				all[inner] = v
				continue
			}
			v, err := canonicalValue(inner, v)
			if err != nil {
				return nil, err
			}
			if v != nil {
				all[canonical(inner)] = v
			}
		}
		return all, nil
	case []any:
		if len(value) == 0 {
			return nil, nil
		}
		all := make([]any, 0, len(value))
		for _, v := range value {
			if entry, is := v.(map[string]any); is {
				var err error
				if v, err = canonicalValue("", entry); err != nil {
					return nil, fmt.Errorf("%.100s: %w", name, err)
				}
			}
			if v != nil {
				all = append(all, v)
			}
		}
		return ordered(all), nil
	}
	return value, nil
}

// ordered sorts values, which have no order in SCIM, so that two reads agree: the primary one first.
func ordered(values []any) []any {
	type sortable struct {
		value   any
		primary bool
		text    string
	}
	all := make([]sortable, len(values))
	for i, value := range values {
		all[i].value = value
		if entry, is := value.(map[string]any); is {
			primary, err := boolean(entry["primary"])
			all[i].primary = err == nil && primary != nil && *primary
		}
		text, _ := json.Marshal(value, json.Deterministic(true))
		all[i].text = string(text)
	}
	slices.SortStableFunc(all, func(a, b sortable) int {
		if a.primary != b.primary {
			if a.primary {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.text, b.text)
	})
	for i := range all {
		values[i] = all[i].value
	}
	return values
}

const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

// names are those of RFC 7643, by themselves in lower case.
var names = func() map[string]string {
	byLower := map[string]string{}
	for _, name := range []string{"externalId", "userName", "name", "formatted", "familyName", "givenName",
		"middleName", "honorificPrefix", "honorificSuffix", "displayName", "nickName", "profileUrl", "title",
		"userType", "preferredLanguage", "locale", "timezone", "emails", "phoneNumbers", "ims", "photos", "addresses",
		"streetAddress", "locality", "region", "postalCode", "country", "entitlements", "roles", "x509Certificates",
		"value", "display", "type", "primary", "$ref", enterprise, "employeeNumber", "costCenter", "organization",
		"division", "department", "manager"} {
		byLower[strings.ToLower(name)] = name
	}
	return byLower
}()

func canonical(name string) string {
	if known, is := names[strings.ToLower(name)]; is {
		return known
	}
	return name
}

// memberships count how many people say that they are directly in a group.
type memberships map[string]int

func (m memberships) add(groups []string) {
	for _, id := range groups {
		m[id]++
	}
}
