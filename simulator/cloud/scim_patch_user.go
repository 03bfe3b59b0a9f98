package cloud

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// patchProfile returns the profile after all operations, or the refusal of the first that is wrong.
func patchProfile(p scimProfile, operations []patchOperation) (scimProfile, *refusal) {
	fields := jsonMembers(p)
	for _, op := range operations {
		if bad := patchFields(fields, op); bad != nil {
			return p, bad
		}
	}
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err) // came from Unmarshal
	}
	var out scimProfile
	if err := json.Unmarshal(text, &out); err != nil {
		return p, invalidValue("The patched user is not valid: %v.", err)
	}
	if strings.TrimSpace(out.UserName) == "" {
		return p, invalidValue("userName is required.")
	}
	return out, nil
}

// refusal is why an operation of a PATCH cannot be done.
type refusal struct{ scimType, detail string }

func invalidValue(format string, args ...any) *refusal {
	return &refusal{"invalidValue", fmt.Sprintf(format, args...)}
}

// jsonMembers returns the JSON members of plain data.
func jsonMembers(of any) map[string]any {
	text, err := json.Marshal(of)
	if err != nil {
		panic(err) // plain data
	}
	out := map[string]any{}
	if err := json.Unmarshal(text, &out); err != nil {
		panic(err) // came from Marshal
	}
	return out
}

// valuePath is a part of a list: emails[type eq "work"].value, or emails.value for all of it.
var valuePath = regexp.MustCompile(
	`^(emails|phoneNumbers)(?:\[\s*(type|primary)\s+eq\s+"?([^"\]]*?)"?\s*\])?\.value$`)

func patchFields(fields map[string]any, op patchOperation) *refusal {
	var value any
	if len(op.Value) > 0 && json.Unmarshal(op.Value, &value) != nil {
		return invalidValue("The value of %s is not JSON.", op.Path)
	}
	// Department and organization are one attribute each, in the extension as beside it.
	path := strings.TrimPrefix(op.Path, scimEnterpriseSchema+":")
	if path == "" || path == scimEnterpriseSchema { // the value is a part of the user
		part, isObject := value.(map[string]any)
		if !isObject {
			return &refusal{"noTarget", "An operation needs a path or an object as its value."}
		}
		for name, each := range part {
			text, err := json.Marshal(each)
			if err != nil {
				panic(err) // came from Unmarshal
			}
			if bad := patchFields(fields, patchOperation{Op: op.Op, Path: name, Value: text}); bad != nil {
				return bad
			}
		}
		return nil
	}
	if match := valuePath.FindStringSubmatch(path); match != nil {
		return patchList(fields, op.Op, match[1], match[2], match[3], value)
	}
	if strings.ContainsAny(path, "[]") {
		return &refusal{"invalidPath", "Path " + path + " is not supported."}
	}
	into := fields
	if parent, tail, nested := strings.Cut(path, "."); nested && !strings.HasPrefix(path, "urn:") {
		into, path = child(fields, parent), tail
	}
	if op.Op == "remove" {
		delete(into, path)
		return nil
	}
	if text, isText := value.(string); isText && path == "active" { // some identity providers write "False"
		parsed, err := strconv.ParseBool(strings.ToLower(text))
		if err != nil {
			return invalidValue("active must be true or false.")
		}
		value = parsed
	}
	into[path] = value
	return nil
}

// patchList changes the items of a list that a filter selects, or makes the list one item if there is no filter. To add
// an item that is not there makes it; to replace it is an error (RFC 7644, section 3.5.2.3).
func patchList(fields map[string]any, op, list, attribute, wanted string, value any) *refusal {
	items, _ := fields[list].([]any)
	if attribute == "" {
		fields[list] = []any{map[string]any{"value": value, "type": "work", "primary": true}}
		return nil
	}
	selected := func(item any) bool {
		one, _ := item.(map[string]any)
		has := one[attribute]
		return attribute == "type" && has == wanted || attribute == "primary" && fmt.Sprint(has == true) == wanted
	}
	at := slices.IndexFunc(items, selected)
	switch {
	case op == "remove":
		fields[list] = slices.DeleteFunc(items, selected)
	case at >= 0:
		items[at].(map[string]any)["value"] = value
	case op == "replace":
		return &refusal{"noTarget", "No item of " + list + " is selected."}
	default:
		item := map[string]any{"value": value, "primary": len(items) == 0}
		if attribute == "type" {
			item["type"] = wanted
		}
		fields[list] = append(items, item)
	}
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
