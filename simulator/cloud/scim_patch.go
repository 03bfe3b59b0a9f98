package cloud

import (
	"encoding/json"
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

// members returns how many members the operation names.
func (op patchOperation) members() int {
	var named []json.RawMessage
	_ = json.Unmarshal(op.Value, &named)
	return len(named)
}

var memberPath = regexp.MustCompile(`^members\[\s*value\s+eq\s+"([^"]*)"\s*\]$`)

// patchMembers returns the members after one operation.
func patchMembers(g *scimGroup, members []*user, op patchOperation) ([]*user, *answer) {
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
	named, bad := g.dir.named(value)
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

// named reads the value of an operation on members: a list, or a single member.
func (d *scimDirectory) named(value json.RawMessage) ([]*user, *answer) {
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
	return d.members(many)
}
