package cloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// patchOperation is one step of a SCIM PATCH.
type patchOperation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

// patchOperations reads a PATCH body. The vendor's schema has operations, its example Operations: both are accepted.
func (r *call) patchOperations() ([]patchOperation, *answer) {
	var body map[string]json.RawMessage
	var out []patchOperation
	wrong := func(detail string) ([]patchOperation, *answer) {
		bad := scimError(http.StatusBadRequest, "invalidSyntax", detail)
		return nil, &bad
	}
	if !r.decode(&body) {
		return wrong("The body is not a patch.")
	}
	for name, raw := range body {
		if strings.EqualFold(name, "operations") && json.Unmarshal(raw, &out) != nil {
			return wrong("Operations is not a list of operations.")
		}
	}
	if len(out) == 0 {
		return wrong("Operations is missing.")
	}
	for i := range out {
		out[i].Op = strings.ToLower(out[i].Op)
		if !slices.Contains([]string{"add", "remove", "replace"}, out[i].Op) {
			return wrong("op must be add, remove or replace.")
		}
	}
	return out, nil
}

var memberPath = regexp.MustCompile(`^members\[\s*value\s+eq\s+"([^"]*)"\s*\]$`)

// patchMembers returns the members after one operation.
func (c *Cloud) patchMembers(g *scimGroup, members []*user, op patchOperation) ([]*user, *answer) {
	wrong := func(scimType, detail string) ([]*user, *answer) {
		bad := scimError(http.StatusBadRequest, scimType, detail)
		return nil, &bad
	}
	path, value := op.Path, op.Value
	if path == "" { // the value is a part of the group
		var part map[string]json.RawMessage
		if json.Unmarshal(value, &part) != nil {
			return wrong("noTarget", "An operation needs a path or an object as its value.")
		}
		if name, renames := part["displayName"]; renames && !strings.EqualFold(string(name), strconv.Quote(g.name)) {
			return wrong("mutability", "A group cannot be renamed.")
		}
		given := false
		if value, given = part["members"]; !given {
			return members, nil
		}
		path = "members"
	}
	if strings.EqualFold(path, "displayName") || strings.EqualFold(path, "externalId") {
		var text string
		if json.Unmarshal(value, &text) != nil || strings.EqualFold(path, "displayName") &&
			!strings.EqualFold(text, g.name) {
			return wrong("mutability", "A group cannot be renamed.")
		}
		return members, nil
	}
	if match := memberPath.FindStringSubmatch(path); match != nil {
		if op.Op != "remove" {
			return wrong("invalidPath", "Only remove takes a path with a filter.")
		}
		value = json.RawMessage(`[{"value":` + strconv.Quote(match[1]) + `}]`)
	} else if !strings.EqualFold(path, "members") {
		return wrong("invalidPath", "Path "+path+" is not supported.")
	}
	named, bad := c.namedMembers(value)
	if bad != nil {
		return nil, bad
	}
	switch {
	case op.Op == "replace":
		return named, nil
	case op.Op == "remove" && len(value) == 0:
		return nil, nil
	}
	for _, u := range named {
		if op.Op == "add" {
			members = with(members, u)
		} else {
			members = without(members, u)
		}
	}
	return members, nil
}

// namedMembers reads the value of an operation on members: a list, or a single member.
func (c *Cloud) namedMembers(value json.RawMessage) ([]*user, *answer) {
	if len(value) == 0 {
		return nil, nil
	}
	var many []scimMember
	if json.Unmarshal(value, &many) != nil {
		var one scimMember
		if json.Unmarshal(value, &one) != nil {
			bad := scimError(http.StatusBadRequest, "invalidValue", "The value is not a list of members.")
			return nil, &bad
		}
		many = []scimMember{one}
	}
	return c.scimMembers(many)
}

// patchProfile returns the profile after all operations.
func patchProfile(p scimProfile, operations []patchOperation) (scimProfile, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return p, err
	}
	fields := map[string]any{}
	if err := json.Unmarshal(text, &fields); err != nil {
		return p, err
	}
	for _, op := range operations {
		if err := patchFields(fields, op); err != nil {
			return p, err
		}
	}
	if text, err = json.Marshal(fields); err != nil {
		return p, err
	}
	var out scimProfile
	if err := json.Unmarshal(text, &out); err != nil {
		return p, fmt.Errorf("the patched user is not valid: %w", err)
	}
	if strings.TrimSpace(out.UserName) == "" {
		return p, fmt.Errorf("userName is required")
	}
	return out, nil
}

var emailPath = regexp.MustCompile(`^emails(\[.*\])?\.value$`)

func patchFields(fields map[string]any, op patchOperation) error {
	var value any
	if len(op.Value) > 0 && json.Unmarshal(op.Value, &value) != nil {
		return fmt.Errorf("the value of %s is not JSON", op.Path)
	}
	path := op.Path
	if path == "" {
		part, isObject := value.(map[string]any)
		if !isObject {
			return fmt.Errorf("an operation needs a path or an object as its value")
		}
		for name, each := range part {
			text, err := json.Marshal(each)
			if err != nil {
				return err
			}
			if err := patchFields(fields, patchOperation{Op: op.Op, Path: name, Value: text}); err != nil {
				return err
			}
		}
		return nil
	}
	if emailPath.MatchString(path) {
		path, value = "emails", []any{map[string]any{"value": value, "type": "work", "primary": true}}
	}
	into := fields
	if tail, found := strings.CutPrefix(path, scimEnterpriseSchema+":"); found {
		into, path = child(fields, scimEnterpriseSchema), tail
	} else if parent, tail, nested := strings.Cut(path, "."); nested && !strings.HasPrefix(path, "urn:") {
		into, path = child(fields, parent), tail
	}
	if op.Op == "remove" {
		delete(into, path)
		return nil
	}
	if text, isText := value.(string); isText && path == "active" { // some identity providers write "False"
		parsed, err := strconv.ParseBool(strings.ToLower(text))
		if err != nil {
			return fmt.Errorf("active must be true or false")
		}
		value = parsed
	}
	into[path] = value
	return nil
}

func child(fields map[string]any, name string) map[string]any {
	if inner, isObject := fields[name].(map[string]any); isObject {
		return inner
	}
	inner := map[string]any{}
	fields[name] = inner
	return inner
}
