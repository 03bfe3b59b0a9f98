package inbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/elimity-com/scim"
	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/schema"
	"github.com/scim2/filter-parser/v2"
)

// normalized returns a request's body in the form that the standard has, of what Entra ID and others write in their
// own: operations in capitals, one without a path for many attributes, booleans as texts, members to remove as a value.
func normalized(method string, body []byte) ([]byte, error) {
	if len(body) == 0 || method != http.MethodPost && method != http.MethodPut && method != http.MethodPatch {
		return body, nil
	}
	var all map[string]any
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, err
	}
	if all == nil {
		return nil, fmt.Errorf("it is no object")
	}
	if method != http.MethodPatch {
		asBoolean(all, "active")
		return json.Marshal(all)
	}
	var operations []any
	given, _ := all["Operations"].([]any)
	for _, one := range given {
		operation, is := one.(map[string]any)
		if !is {
			return nil, fmt.Errorf("an operation is no object")
		}
		operations = append(operations, normalizedOperation(operation)...)
	}
	all["Operations"] = operations
	return json.Marshal(all)
}

func normalizedOperation(operation map[string]any) (all []any) {
	op, path := strings.ToLower(textOf(operation, "op")), textOf(operation, "path")
	if values, is := operation["value"].(map[string]any); is && path == "" && op != "remove" {
		for name, value := range values {
			if strings.EqualFold(name, "id") || strings.EqualFold(name, "schemas") {
				continue // Okta repeats them
			}
			all = append(all, normalizedOperation(map[string]any{"op": op, "path": name, "value": value})...)
		}
		return all
	}
	if members, is := operation["value"].([]any); is && op == "remove" && strings.EqualFold(path, "members") {
		for _, one := range members {
			if member, is := one.(map[string]any); is {
				path := fmt.Sprintf("members[value eq %q]", textOf(member, "value"))
				all = append(all, map[string]any{"op": op, "path": path})
			}
		}
		return all
	}
	operation["op"] = op
	switch lower := strings.ToLower(path); {
	case lower == "active":
		asBoolean(operation, "value")
	case strings.HasSuffix(lower, ":manager") || lower == "manager":
		if id, is := operation["value"].(string); is {
			operation["value"] = map[string]any{"value": id}
		}
	case strings.HasSuffix(lower, ".primary"):
		asBoolean(operation, "value")
	}
	return []any{operation}
}

// asBoolean replaces "True" and "False".
func asBoolean(of map[string]any, name string) {
	if text, is := of[name].(string); is && (strings.EqualFold(text, "true") || strings.EqualFold(text, "false")) {
		of[name] = strings.EqualFold(text, "true")
	}
}

// patch changes attributes of a resource by an operation that was checked against its schema.
func patch(attributes map[string]any, o scim.PatchOperation, of schema.Schema) error {
	if o.Path == nil {
		return scimerrors.ScimErrorInvalidPath
	}
	path := o.Path.AttributePath
	if uri := path.URI(); uri != "" && !strings.EqualFold(uri, of.ID) {
		if attributes, of = extension(attributes, uri); attributes == nil {
			return scimerrors.ScimErrorInvalidPath
		}
	}
	name := canonical(of.Attributes, path.AttributeName)
	sub := path.SubAttributeName()
	if o.Path.SubAttribute != nil {
		sub = *o.Path.SubAttribute
	}
	switch {
	case o.Path.ValueExpression != nil:
		return patchElements(attributes, name, sub, o)
	case sub != "":
		inner, is := attributes[name].(map[string]any)
		if attributes[name] != nil && !is {
			return scimerrors.ScimErrorInvalidPath
		}
		if inner == nil {
			inner = map[string]any{}
		}
		if attributes[name] = inner; o.Op == scim.PatchOperationRemove {
			delete(inner, sub)
		} else {
			inner[sub] = o.Value
		}
	case o.Op == scim.PatchOperationRemove:
		delete(attributes, name)
	case o.Op == scim.PatchOperationAdd:
		attributes[name] = added(attributes[name], o.Value)
	default:
		attributes[name] = o.Value
	}
	return nil
}

// extension returns the attributes of the one extension that there is.
func extension(attributes map[string]any, uri string) (map[string]any, schema.Schema) {
	is := schema.ExtensionEnterpriseUser()
	if !strings.EqualFold(uri, is.ID) {
		return nil, is
	}
	inner, known := attributes[is.ID].(map[string]any)
	if !known {
		inner = map[string]any{}
		attributes[is.ID] = inner
	}
	return inner, is
}

// canonical returns an attribute's name as its schema writes it.
func canonical(all schema.Attributes, name string) string {
	for _, a := range all {
		if strings.EqualFold(a.Name(), name) {
			return a.Name()
		}
	}
	return name
}

// added adds to what is there: values to a list, those that are not in it; attributes to an object; else it replaces.
func added(is, value any) any {
	switch is := is.(type) {
	case []any:
		values, many := value.([]any)
		if !many {
			values = []any{value}
		}
		for _, v := range values {
			if !slices.ContainsFunc(is, func(w any) bool { return reflect.DeepEqual(v, w) }) {
				is = append(is, v)
			}
		}
		return is
	case map[string]any:
		if more, same := value.(map[string]any); same {
			for name, v := range more {
				is[name] = v
			}
			return is
		}
	}
	return value
}

// patchElements changes those values of a list that an expression selects. One that is replaced and is not there is
// made, as Entra ID expects.
func patchElements(attributes map[string]any, name, sub string, o scim.PatchOperation) error {
	elements, _ := attributes[name].([]any)
	found := false
	var kept []any
	for _, one := range elements {
		element, is := one.(map[string]any)
		selected, err := selects(o.Path.ValueExpression, element)
		if err != nil {
			return err
		}
		if !is || !selected {
			kept = append(kept, one)
			continue
		}
		found = true
		switch {
		case o.Op == scim.PatchOperationRemove && sub == "":
			continue
		case o.Op == scim.PatchOperationRemove:
			delete(element, sub)
		case sub != "":
			element[sub] = o.Value
		default:
			element, _ = added(element, o.Value).(map[string]any)
		}
		kept = append(kept, element)
	}
	if !found && o.Op != scim.PatchOperationRemove {
		made := map[string]any{}
		if by, is := o.Path.ValueExpression.(*filter.AttributeExpression); is && by.Operator == filter.EQ {
			made[by.AttributePath.AttributeName] = compared(by)
		}
		if sub != "" {
			made[sub] = o.Value
		} else {
			made, _ = added(made, o.Value).(map[string]any)
		}
		kept = append(kept, made)
	}
	if attributes[name] = kept; len(kept) == 0 {
		delete(attributes, name)
	}
	return nil
}

// selects reports whether an expression selects a value of a list.
func selects(expression filter.Expression, element map[string]any) (bool, error) {
	switch e := expression.(type) {
	case *filter.AttributeExpression:
		if e.Operator == filter.EQ {
			is := element[e.AttributePath.AttributeName]
			return strings.EqualFold(fmt.Sprint(is), fmt.Sprint(compared(e))), nil
		}
	case *filter.LogicalExpression:
		left, err := selects(e.Left, element)
		if err != nil {
			return false, err
		}
		right, err := selects(e.Right, element)
		if e.Operator == filter.OR {
			return left || right, err
		}
		return left && right, err
	}
	return false, scimerrors.ScimErrorInvalidFilter
}
