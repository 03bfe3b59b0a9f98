package provision

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/policy/internal/strictyaml"
)

// file is the part of a policy that this package reads.
type file struct {
	Sources   []Source    `json:"sources,omitempty"`
	Provision []Provision `json:"provision,omitempty"`
}

// read reads both sections as a policy file's reader does.
func read(t require.TestingT, text string) (f file, err error) {
	r, root, err := strictyaml.Open("acme.yaml", []byte(text), "policy")
	require.NoError(t, err)
	r.Object(root, "", strictyaml.Fields{
		"sources": ReadSources(r, &f.Sources), "provision": ReadProvisions(r, &f.Provision),
	})
	Check(r, f.Sources, f.Provision)
	return f, r.Err()
}

func mustRead(t require.TestingT, text string) file {
	f, err := read(t, text)
	require.NoError(t, err)
	return f
}

func encode(t require.TestingT, f file) string {
	text, err := json.Marshal(f)
	require.NoError(t, err)
	return string(text)
}

// ldap is a source with the least that its kind needs, and hr another.
const (
	ldap = `
sources:
- {name: corp, kind: ldap, url: "ldaps://dc1", base: "DC=acme"}
`
	hr = ldap + `- {name: hr, kind: file, folder: /srv/hr, key: number}
`
	staff = hr + `
provision:
- {name: staff, from: [corp], directory: {id: d1, key: "env:SCIM"}}
`
)

func expectProblem(t *testing.T, text, problem string) {
	t.Helper()
	_, err := read(t, text)
	require.ErrorContains(t, err, problem, text)
}
