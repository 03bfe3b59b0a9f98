package contract_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/stretchr/testify/require"
)

// document is one of the vendor's OpenAPI files.
type document struct {
	name   string
	prefix string // of the request's path, which the document's servers carry
	rates  bool   // its narrative promises rate limit headers with every answer
	spec   *openapi3.T
}

// operation is one operation of a document, with the values of its path's parameters.
type operation struct {
	document *document
	method   string
	template string
	item     *openapi3.PathItem
	spec     *openapi3.Operation
	values   map[string]string
}

func (o *operation) name() string { return o.document.name + " " + o.method + " " + o.template }

// loadVendor reads the vendor's files from the folder.
func loadVendor(t *testing.T, folder string) []*document {
	t.Helper()
	documents := []*document{
		{name: "organization", prefix: "/admin", rates: true},
		{name: "user-provisioning"},
		{name: "user-management"},
	}
	files := []string{"organization.2026-08-21.json", "user-provisioning.2023-08-08.json",
		"user-management.2026-06-11.json"}
	for i, d := range documents {
		spec, err := openapi3.NewLoader().LoadFromFile(filepath.Join(folder, files[i]))
		require.NoError(t, err, "reading the vendor's %s; CASTELLAN_SPECS must name the folder that holds it", files[i])
		d.spec = spec
	}
	openapi3filter.RegisterBodyDecoder("application/scim+json", openapi3filter.JSONBodyDecoder)
	return documents
}

// find returns the operation that a request meets: of several templates that fit, the one with the most fixed parts.
func find(documents []*document, method, path string) *operation {
	var best *operation
	most := -1
	for _, d := range documents {
		below, fits := strings.CutPrefix(path, d.prefix)
		if !fits {
			continue
		}
		for template, item := range d.spec.Paths.Map() {
			spec := item.Operations()[method]
			values, fixed, match := matchTemplate(template, below)
			if match && spec != nil && fixed > most {
				best, most = &operation{d, method, template, item, spec, values}, fixed
			}
		}
	}
	return best
}

func matchTemplate(template, path string) (values map[string]string, fixed int, match bool) {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, 0, false
	}
	values = map[string]string{}
	for i, part := range want {
		switch {
		case strings.HasPrefix(part, "{") && got[i] != "":
			values[strings.Trim(part, "{}")] = got[i]
		case part == got[i]:
			fixed++
		default:
			return nil, 0, false
		}
	}
	return values, fixed, true
}

// queryNames returns the names that an operation's query may have. The members of an object are names of their own.
func (o *operation) queryNames() map[string]bool {
	names := map[string]bool{}
	for _, parameters := range []openapi3.Parameters{o.item.Parameters, o.spec.Parameters} {
		for _, p := range parameters {
			if p.Value.In != openapi3.ParameterInQuery {
				continue
			}
			names[p.Value.Name] = true
			if p.Value.Schema != nil {
				for member := range p.Value.Schema.Value.Properties {
					names[member] = true
				}
			}
		}
	}
	return names
}

func TestFixedPartsOfAPathGoFirst(t *testing.T) {
	spec, err := openapi3.NewLoader().LoadFromData([]byte(`{"openapi":"3.0.0","info":{"title":"t","version":"1"},"paths":{
		"/a/{id}":{"get":{"responses":{}}},"/a/count":{"get":{"responses":{}}},"/a/{other}":{"delete":{"responses":{}}}}}`))
	require.NoError(t, err)
	documents := []*document{{name: "d", prefix: "/p", spec: spec}}
	require.Equal(t, "d GET /a/count", find(documents, "GET", "/p/a/count").name())
	require.Equal(t, map[string]string{"id": "7"}, find(documents, "GET", "/p/a/7").values)
	require.Equal(t, "d DELETE /a/{other}", find(documents, "DELETE", "/p/a/count").name())
	require.Nil(t, find(documents, "GET", "/p/a"))
	require.Nil(t, find(documents, "GET", "/a/7"))
}
