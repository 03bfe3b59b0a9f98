package cases_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

const jiraSite, wikiSite = "ari:cloud:jira-software::site/1", "ari:cloud:confluence::site/1"

func parse(t testing.TB, text string) *policy.Policy {
	p, err := policy.Parse("acme.yaml", []byte(text))
	require.NoError(t, err)
	return p
}

// bind binds a policy to an organization with groups and apps, and more groups of these names.
func bind(t testing.TB, more ...string) *policy.Bound {
	o := access.Outline{
		Groups: []access.Group{{ID: "s1", Name: "eng-web", Synced: true}, {ID: "s2", Name: "Eng-Data", Synced: true},
			{ID: "j1", Name: "jira-users-acme", Modifiable: true}, {ID: "j2", Name: "jira-users-extra", Modifiable: true},
			{ID: "s4", Name: "sales", Synced: true}, {ID: "loc", Name: "local people", Modifiable: true}},
		Sites: []access.Site{{App: "jira-software", Site: "acme", Resource: jiraSite},
			{App: "confluence", Site: "acme", Resource: wikiSite}},
	}
	for _, name := range more {
		o.Groups = append(o.Groups, access.Group{ID: name, Name: name})
	}
	b, _ := policy.Bind(parse(t, "version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\nmappings:\n"+
		"- {name: m, from: [eng-web], to: ['group:jira-users-acme']}"), o)
	return b
}
