package contract_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// discovery is what is used of one of Google's discovery files.
type discovery struct {
	Parameters map[string]map[string]any `json:"parameters"` // of every method
	Schemas    map[string]any            `json:"schemas"`
	Resources  map[string]struct {
		Methods map[string]struct {
			Path       string                    `json:"path"`
			HTTPMethod string                    `json:"httpMethod"`
			Parameters map[string]map[string]any `json:"parameters"`
			Response   map[string]any            `json:"response"`
		} `json:"methods"`
	} `json:"resources"`
}

// loadDiscovery reads a discovery file as an OpenAPI document. It describes no errors.
func loadDiscovery(t *testing.T, file string) *openapi3.T {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var d discovery
	require.NoError(t, json.Unmarshal(text, &d))
	paths := map[string]map[string]any{}
	for _, resource := range d.Resources {
		for _, method := range resource.Methods {
			var parameters []any
			for _, named := range []map[string]map[string]any{d.Parameters, method.Parameters} {
				for name, p := range named {
					parameters = append(parameters, map[string]any{"name": name, "in": p["location"],
						"required": p["location"] == "path", "schema": jsonSchema(p, "location", "required")})
				}
			}
			path := "/" + method.Path
			if paths[path] == nil {
				paths[path] = map[string]any{}
			}
			paths[path][strings.ToLower(method.HTTPMethod)] = map[string]any{"parameters": parameters,
				"responses": map[string]any{"200": map[string]any{"description": "success", "content": map[string]any{
					"application/json": map[string]any{"schema": jsonSchema(method.Response)}}}}}
		}
	}
	schemas := map[string]any{}
	for name, schema := range d.Schemas {
		schemas[name] = jsonSchema(schema)
	}
	document, err := json.Marshal(map[string]any{"openapi": "3.0.0", "info": map[string]any{"title": "g",
		"version": "1"},
		"paths": paths, "components": map[string]any{"schemas": schemas}})
	require.NoError(t, err)
	spec, err := openapi3.NewLoader().LoadFromData(document)
	require.NoError(t, err)
	return spec
}

// jsonSchema turns a schema of a discovery file into one of OpenAPI. Bounds are texts there; "any" is a type.
func jsonSchema(from any, without ...string) any {
	schema, is := from.(map[string]any)
	if !is {
		return from
	}
	made := map[string]any{}
	for _, name := range []string{"type", "format", "enum", "items", "properties", "additionalProperties", "$ref"} {
		switch value := schema[name].(type) {
		case nil:
		case string:
			if name == "$ref" {
				value = "#/components/schemas/" + value
			}
			if value != "any" {
				made[name] = value
			}
		case map[string]any:
			if name == "properties" {
				members := map[string]any{}
				for member, inner := range value {
					members[member] = jsonSchema(inner)
				}
				made[name] = members
				continue
			}
			made[name] = jsonSchema(value)
		default:
			made[name] = value
		}
	}
	for _, bound := range []string{"minimum", "maximum"} {
		if text, is := schema[bound].(string); is {
			made[bound] = json.RawMessage(text)
		}
	}
	for _, name := range without {
		delete(made, name)
	}
	return made
}
