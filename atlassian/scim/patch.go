package scim

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// Attribute is an attribute of a user that PatchUser can change.
type Attribute string

// The attributes that can be changed. The names are those of a record's attributes in SCIM.
const (
	UserName          Attribute = "userName"
	Email             Attribute = "emails" // the one at work, which is the primary one
	DisplayName       Attribute = "displayName"
	GivenName         Attribute = "name.givenName"
	FamilyName        Attribute = "name.familyName"
	NickName          Attribute = "nickName"
	Title             Attribute = "title"
	Department        Attribute = "department"
	Organization      Attribute = "organization"
	Timezone          Attribute = "timezone"
	PreferredLanguage Attribute = "preferredLanguage"
	PhoneNumber       Attribute = "phoneNumbers" // the one at work
	Active            Attribute = "active"       // "true" or "false"
)

// Edit changes one attribute from what the record has to another value; "" is no value.
type Edit struct {
	Attribute Attribute
	From, To  string
}

// paths are where a PATCH has the attributes. Addresses, phone numbers and the department are where the vendor puts
// them for Entra ID (support.atlassian.com/provisioning-users/docs/limitations-of-azure-ad-for-nested-groups); the
// organization stands beside the department.
var paths = map[Attribute]string{
	UserName: string(UserName), Email: `emails[type eq "work"].value`, DisplayName: string(DisplayName),
	GivenName: string(GivenName), FamilyName: string(FamilyName), NickName: string(NickName), Title: string(Title),
	Department: schemaEnterprise + ":department", Organization: schemaEnterprise + ":organization",
	Timezone: string(Timezone), PreferredLanguage: string(PreferredLanguage),
	PhoneNumber: `phoneNumbers[type eq "work"].value`, Active: string(Active),
}

// operation is the step that makes the edit: add, replace or remove, by what there was and what shall be.
func (e Edit) operation() (patchOperation, error) {
	path, known := paths[e.Attribute]
	required := e.Attribute == UserName || e.Attribute == Email || e.Attribute == Active
	op := patchOperation{Op: "replace", Path: path, Value: e.To}
	switch {
	case !known:
		return op, fmt.Errorf("%q is no attribute that can be changed", e.Attribute)
	case e.To == "" && required:
		return op, fmt.Errorf("%s cannot be removed", e.Attribute)
	case e.To == "":
		return patchOperation{Op: "remove", Path: path}, nil
	case e.Attribute == Active:
		active, err := strconv.ParseBool(e.To)
		op.Value = active
		return op, err
	case e.From == "":
		op.Op = "add"
	}
	return op, nil
}

// PatchUser changes the attributes that are named, one operation for each, and no other, in one call. It returns the
// user after that, as the API shows it: what the API did not store shows there.
//
// Beware: any change of a user whose account the organization does not manage unlinks that account.
func (w Writer) PatchUser(ctx context.Context, id string, edits []Edit) (User, error) {
	const operation = "change SCIM user"
	path, err := resourcePath(operation, "Users", id)
	if err != nil {
		return User{}, err
	}
	if len(edits) == 0 {
		return User{}, wire.Invalid(pkg, operation, "no attribute is named")
	}
	operations, seen := make([]patchOperation, len(edits)), map[Attribute]bool{}
	for i, e := range edits {
		if operations[i], err = e.operation(); err != nil {
			return User{}, wire.Invalid(pkg, operation, "%v", err)
		}
		if seen[e.Attribute] {
			return User{}, wire.Invalid(pkg, operation, "%s is named twice", e.Attribute)
		}
		seen[e.Attribute] = true
	}
	return exchange(ctx, w.Client, wire.Request{
		Operation: operation, Method: http.MethodPatch, Path: path, Body: patchOf(operations...), Write: true,
	}, wireUser.user)
}

// SetActive activates or deactivates a user.
func (w Writer) SetActive(ctx context.Context, id string, active bool) (User, error) {
	return w.PatchUser(ctx, id, []Edit{{Attribute: Active, To: strconv.FormatBool(active)}})
}

// patch is the body of a PATCH. The vendor's schema writes operations, its example Operations, as RFC 7644 does.
type patch struct {
	Schemas    []string         `json:"schemas"`
	Operations []patchOperation `json:"Operations"`
}

type patchOperation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"` // absent from a removal of the whole attribute
}

func patchOf(operations ...patchOperation) patch {
	return patch{Schemas: []string{schemaPatch}, Operations: operations}
}
