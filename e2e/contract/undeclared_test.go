package contract_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// undeclared lists the members of a body that the vendor's schema does not name. The schemas nowhere forbid others, so
// that a misspelt member would pass them.
func undeclared(schema *openapi3.SchemaRef, value any, at string) []string {
	var found []string
	switch v := value.(type) {
	case map[string]any:
		members, open := declared(schema)
		if open {
			return nil
		}
		for _, name := range slices.Sorted(keys(v)) {
			if alternatives, known := members[name]; !known {
				found = append(found, fmt.Sprintf("%s/%s is not declared", at, name))
			} else {
				found = append(found, fewest(alternatives, v[name], at+"/"+name)...)
			}
		}
	case []any:
		items := arrayItems(schema)
		for _, item := range v {
			found = append(found, fewest(items, item, at+"/[]")...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// fewest judges a value by the alternative that suits it best.
func fewest(alternatives []*openapi3.SchemaRef, value any, at string) []string {
	var best []string
	for i, schema := range alternatives {
		if found := undeclared(schema, value, at); i == 0 || len(found) < len(best) {
			best = found
		}
	}
	return best
}

// parts returns a schema and all that it is put together from.
func parts(schema *openapi3.SchemaRef) []*openapi3.Schema {
	if schema == nil || schema.Value == nil {
		return nil
	}
	all := []*openapi3.Schema{schema.Value}
	for _, group := range []openapi3.SchemaRefs{schema.Value.AllOf, schema.Value.AnyOf, schema.Value.OneOf} {
		for _, part := range group {
			all = append(all, parts(part)...)
		}
	}
	return all
}

// declared returns the members that a schema names. An object of which nothing is said, or of which more is allowed, is
// open.
func declared(schema *openapi3.SchemaRef) (members map[string][]*openapi3.SchemaRef, open bool) {
	members = map[string][]*openapi3.SchemaRef{}
	for _, part := range parts(schema) {
		if part.AdditionalProperties.Schema != nil ||
			(part.AdditionalProperties.Has != nil && *part.AdditionalProperties.Has) {
			open = true
		}
		for name, member := range part.Properties {
			members[name] = append(members[name], member)
		}
	}
	return members, open || len(members) == 0
}

func arrayItems(schema *openapi3.SchemaRef) []*openapi3.SchemaRef {
	var all []*openapi3.SchemaRef
	for _, part := range parts(schema) {
		if part.Items != nil {
			all = append(all, part.Items)
		}
	}
	return all
}

func keys(m map[string]any) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range m {
			if !yield(name) {
				return
			}
		}
	}
}

func TestCheckerFindsUndeclaredMembers(t *testing.T) {
	object := func(members openapi3.Schemas) *openapi3.SchemaRef {
		return openapi3.NewSchemaRef("", &openapi3.Schema{Type: &openapi3.Types{"object"}, Properties: members})
	}
	text := openapi3.NewSchemaRef("", openapi3.NewStringSchema())
	item := openapi3.NewSchemaRef("", &openapi3.Schema{AllOf: openapi3.SchemaRefs{
		object(openapi3.Schemas{"a": text}),
		object(openapi3.Schemas{"b": text, "free": openapi3.NewSchemaRef("", openapi3.NewObjectSchema())}),
	}})
	list := openapi3.NewArraySchema()
	list.Items = item
	schema := object(openapi3.Schemas{"data": openapi3.NewSchemaRef("", list)})

	var value any
	require.NoError(t, json.Unmarshal([]byte(`{"data":[{"a":"1","b":"2","free":{"x":1}},{"a":"1","c":"3"}],"more":1}`),
		&value))
	require.Equal(t, []string{"/data/[]/c is not declared", "/more is not declared"}, undeclared(schema, value, ""))
}
