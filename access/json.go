package access

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Decode reads JSON that people or other programs wrote: exactly one value, each key as it is documented, case
// included, and no key twice, at any depth. Anything more lenient could be read in one way by what checks it and in
// another by what acts on it. The error says what is wrong and where.
func Decode(data []byte, into any) error {
	return explainError(json.Unmarshal(data, into, json.RejectUnknownMembers(true)))
}

// DecodeKnown is Decode for what Castellan itself wrote, perhaps in another version: it ignores keys that it does not
// know.
func DecodeKnown(data []byte, into any) error { return explainError(json.Unmarshal(data, into)) }

// explainError returns an error that says what is wrong and where.
func explainError(err error) error {
	var meaning *json.SemanticError
	var form *jsontext.SyntacticError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &form):
		return fmt.Errorf("the key %s stands there twice", quotedPath(form.JSONPointer))
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &meaning):
		return fmt.Errorf("unknown field %s%s", quotedPath(meaning.JSONPointer), fieldsInstead(meaning))
	case errors.As(err, &meaning) && meaning.Err != nil && meaning.GoType != nil && meaning.JSONKind == 0:
		return fmt.Errorf("%s%w", pathPrefix(meaning.JSONPointer), meaning.Err)
	case errors.As(err, &meaning):
		what := "a value"
		if meaning.JSONKind != 0 {
			what = "a " + meaning.JSONKind.String()
		}
		if meaning.Err != nil {
			return fmt.Errorf("%s%s does not fit: %w", pathPrefix(meaning.JSONPointer), what, meaning.Err)
		}
		return fmt.Errorf("%s%s does not fit here", pathPrefix(meaning.JSONPointer), what)
	}
	return errors.New(strings.TrimPrefix(err.Error(), "jsontext: "))
}

// fieldsInstead returns which field may have been meant by an unknown one, and which fields there are.
func fieldsInstead(err *json.SemanticError) string {
	fields := fieldsOf(err.GoType)
	if len(fields) == 0 {
		return "; keys are written as documented, case included"
	}
	meant := "."
	if near := Nearest(err.JSONPointer.LastToken(), fields...); near != "" {
		meant = fmt.Sprintf("; did you mean %q?", near)
	}
	return meant + " The fields are " + strings.Join(fields, ", ")
}

// fieldsOf returns the JSON keys of a struct.
func fieldsOf(t reflect.Type) []string {
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	var fields []string
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || f.Anonymous && name == "" {
			continue
		}
		fields = append(fields, cmp.Or(name, f.Name))
	}
	return fields
}

// quotedPath returns the path in the document, bounded since somebody chose its keys.
func quotedPath(p jsontext.Pointer) string {
	var parts []string
	for token := range p.Tokens() {
		parts = append(parts, token)
	}
	place := strings.Join(parts, ".")
	if len(place) > 100 {
		place = strings.ToValidUTF8(place[:100], "") + "…"
	}
	return fmt.Sprintf("%q", place)
}

func pathPrefix(p jsontext.Pointer) string {
	if p == "" {
		return ""
	}
	return quotedPath(p) + ": "
}
