package contract_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// csdl is what is used of the description of Microsoft Graph: names and types, but no paths.
type csdl struct {
	Entities []csdlType `xml:"EntityType"`
	Complex  []csdlType `xml:"ComplexType"`
}

type csdlType struct {
	Name       string         `xml:"Name,attr"`
	Base       string         `xml:"BaseType,attr"`
	Properties []csdlProperty `xml:"Property"`
	Navigation []csdlProperty `xml:"NavigationProperty"`
}

type csdlProperty struct {
	Name     string `xml:"Name,attr"`
	Type     string `xml:"Type,attr"`
	Nullable string `xml:"Nullable,attr"`
}

// graphChecker is a transport that holds requests and answers of Graph against the description.
type graphChecker struct {
	types     map[string]csdlType
	transport http.RoundTripper

	mu         sync.Mutex
	requests   int
	answers    int
	covered    map[string]bool
	violations []violation
}

func newGraphChecker(t *testing.T, file string) *graphChecker {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var schema csdl
	require.NoError(t, xml.Unmarshal(text, &schema))
	g := &graphChecker{types: map[string]csdlType{}, transport: http.DefaultTransport, covered: map[string]bool{}}
	for _, described := range slices.Concat(schema.Entities, schema.Complex) {
		g.types[described.Name] = described
	}
	require.Contains(t, g.types, "user")
	return g
}

// property looks for a property of a type or of what it is based on.
func (g *graphChecker) property(of, name string) (property csdlProperty, navigation, found bool) {
	for described, known := g.types[of]; known; described, known = g.types[strings.TrimPrefix(described.Base,
		"graph.")] {
		for i, list := range [][]csdlProperty{described.Properties, described.Navigation} {
			for _, property := range list {
				if property.Name == name {
					return property, i == 1, true
				}
			}
		}
	}
	return csdlProperty{}, false, false
}

// target follows a path from its set to the type of what it names, and whether that is a list.
func (g *graphChecker) target(path string) (named, of string, list bool, err error) {
	parts := strings.Split(strings.TrimPrefix(path, "/v1.0/"), "/")
	if len(parts) == 3 && parts[0] == "directory" && parts[1] == "deletedItems" { // of a type that the file leaves out
		return "/directory/deletedItems/{id}", "directoryObject", false, nil
	}
	of = map[string]string{"users": "user", "groups": "group"}[parts[0]]
	if of == "" {
		return "", "", false, fmt.Errorf("there is no set %q", parts[0])
	}
	named, list = "/"+parts[0], true
	for _, part := range parts[1:] {
		_, cast := g.types[strings.TrimPrefix(part, "microsoft.graph.")]
		switch {
		case list && part == "delta":
			named += "/delta"
		case list && strings.HasPrefix(part, "microsoft.graph.") && cast:
			of, named = strings.TrimPrefix(part, "microsoft.graph."), named+"/"+part
		case list:
			list, named = false, named+"/{id}"
		default:
			property, navigation, found := g.property(of, part)
			if !found || !navigation {
				return "", "", false, fmt.Errorf("%s has no navigation property %q", of, part)
			}
			of, list = strings.CutPrefix(strings.TrimSuffix(property.Type, ")"), "Collection(")
			of, named = strings.TrimPrefix(of, "graph."), named+"/"+part
		}
	}
	return named, of, list, nil
}

// RoundTrip sends the request, and checks it and its answer. It changes neither.
func (g *graphChecker) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := g.transport.RoundTrip(r)
	if err != nil || !strings.HasPrefix(r.URL.Path, "/v1.0/") {
		return response, err
	}
	body, err := drain(&response.Body)
	if err != nil {
		return nil, err
	}
	named, of, list, err := g.target(r.URL.Path)
	operation := "graph " + r.Method + " " + named
	var found []violation
	note := func(side string, texts ...string) {
		for _, text := range texts {
			found = append(found, violation{operation, side, response.StatusCode, text})
		}
	}
	if err != nil {
		note("request", err.Error())
	} else {
		note("request", g.query(r, of)...)
		if response.StatusCode == http.StatusOK {
			note("answer", g.body(of, list, body)...)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.violations = append(g.violations, found...)
	g.requests++
	g.answers++
	if response.StatusCode == http.StatusOK {
		g.covered[operation] = true
	}
	return response, nil
}

func (g *graphChecker) query(r *http.Request, of string) (texts []string) {
	for name, values := range r.URL.Query() {
		if !slices.Contains([]string{"$select", "$top", "$filter", "$count", "$skiptoken", "$deltatoken"}, name) {
			texts = append(texts, fmt.Sprintf("query parameter %q is none of OData's", name))
		}
		for _, property := range strings.Split(values[0], ",") {
			if _, _, found := g.property(of, property); name == "$select" && !found {
				texts = append(texts, fmt.Sprintf("%s has no property %q to select", of, property))
			}
		}
	}
	return texts
}

func (g *graphChecker) body(of string, list bool, body []byte) []string {
	var value map[string]any
	if err := json.Unmarshal(body, &value); err != nil {
		return []string{"the answer is no object: " + err.Error()}
	}
	if !list {
		return g.object(of, value, "")
	}
	values, is := value["value"].([]any)
	if !is {
		return []string{"the answer has no list"}
	}
	var texts []string
	for _, item := range values {
		texts = append(texts, g.value("graph."+of, item, "/value/[]")...)
	}
	for name := range value {
		if name != "value" && !strings.HasPrefix(name, "@odata.") {
			texts = append(texts, "/"+name+" is not declared")
		}
	}
	return texts
}

func (g *graphChecker) object(of string, object map[string]any, at string) (texts []string) {
	for name, value := range object {
		if strings.Contains(name, "@") {
			continue // annotations
		}
		property, _, found := g.property(of, name)
		switch {
		case !found:
			texts = append(texts, at+"/"+name+" is not declared")
		case value == nil && (property.Nullable == "false" || strings.HasPrefix(property.Type, "Collection(")):
			texts = append(texts, at+"/"+name+" is null")
		case value != nil:
			texts = append(texts, g.value(property.Type, value, at+"/"+name)...)
		}
	}
	return texts
}

// value checks a value against a type. Of types that the file leaves out, nothing is known.
func (g *graphChecker) value(of string, value any, at string) []string {
	fits := true
	switch text, _ := value.(string); {
	case strings.HasPrefix(of, "Collection("):
		values, is := value.([]any)
		var texts []string
		for _, item := range values {
			texts = append(texts, g.value(strings.TrimSuffix(strings.TrimPrefix(of, "Collection("), ")"), item,
				at+"/[]")...)
		}
		if is {
			return texts
		}
		fits = false
	case of == "Edm.String":
		_, fits = value.(string)
	case of == "Edm.Boolean":
		_, fits = value.(bool)
	case of == "Edm.Int32":
		_, fits = value.(float64)
	case of == "Edm.DateTimeOffset":
		_, err := time.Parse(time.RFC3339, text)
		fits = err == nil
	case of == "Edm.Guid":
		_, err := uuid.Parse(text)
		fits = err == nil
	case strings.HasPrefix(of, "graph."):
		if _, known := g.types[strings.TrimPrefix(of, "graph.")]; !known {
			return nil
		}
		object, is := value.(map[string]any)
		if is {
			return g.object(strings.TrimPrefix(of, "graph."), object, at)
		}
		fits = false
	}
	if !fits {
		return []string{at + " is not of the type " + of}
	}
	return nil
}

const smallCSDL = `<Schema xmlns="http://docs.oasis-open.org/odata/ns/edm"><EntityType Name="entity"><Property Name="id"
	Type="Edm.String" Nullable="false"/></EntityType><EntityType Name="user" BaseType="graph.entity"><Property Name="on"
	Type="Edm.Boolean"/><Property Name="mails" Type="Collection(Edm.String)"/><NavigationProperty Name="memberOf"
	Type="Collection(graph.group)"/></EntityType><EntityType Name="group" BaseType="graph.entity"/></Schema>`

func TestGraphCheckerFindsMistakes(t *testing.T) {
	file := t.TempDir() + "/graph.csdl"
	require.NoError(t, os.WriteFile(file, []byte(smallCSDL), 0o600))
	for name, test := range map[string]struct{ path, answer, sees string }{
		"nothing": {"/v1.0/users?$select=id,on", `{"@odata.count":1,"value":[{"id":"a","on":null,"mails":["m"]}]}`,
			""},
		"one":      {"/v1.0/users/a", `{"id":"a","@odata.context":"c"}`, ""},
		"relation": {"/v1.0/users/a/memberOf/microsoft.graph.group", `{"value":[{"id":"g"}]}`, ""},
		"set":      {"/v1.0/people", `{}`, `there is no set "people"`},
		"property": {"/v1.0/users/a/members", `{}`, `user has no navigation property "members"`},
		"selected": {"/v1.0/users?$select=of", `{"value":[]}`, `user has no property "of" to select`},
		"query":    {"/v1.0/users?limit=1", `{"value":[]}`, `query parameter "limit" is none of OData's`},
		"no list":  {"/v1.0/users", `{"id":"a"}`, "the answer has no list"},
		"unknown":  {"/v1.0/users/a", `{"idd":"a"}`, "/idd is not declared"},
		"null":     {"/v1.0/users/a", `{"id":null}`, "/id is null"},
		"type":     {"/v1.0/users", `{"value":[{"on":"yes"}]}`, "/value/[]/on is not of the type Edm.Boolean"},
		"items":    {"/v1.0/users/a", `{"mails":[1]}`, "/mails/[] is not of the type Edm.String"},
	} {
		check := newGraphChecker(t, file)
		check.transport = answering(test.answer)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://graph.example"+test.path, nil)
		require.NoError(t, err)
		response, err := check.RoundTrip(request)
		require.NoError(t, err)
		received, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, test.answer, string(received), name)
		if test.sees == "" {
			require.Empty(t, check.violations, name)
			continue
		}
		require.Contains(t, fmt.Sprint(check.violations), test.sees, name)
	}
}

// answering is a transport that always gives one answer.
type answering string

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(string(a)))}, nil
}
