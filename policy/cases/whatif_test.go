package cases_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/cases"
)

// applyAll applies changes one after the other.
func applyAll(t testing.TB, b *policy.Bound, p access.Person, all ...string) (access.Person, time.Time, error) {
	now := noon
	for _, text := range all {
		s, err := cases.ReadWhatIf(text)
		require.NoError(t, err, text)
		require.Equal(t, text, s.String())
		if p, now, err = s.Apply(b, p, now); err != nil {
			return p, now, err
		}
	}
	return p, now, nil
}

func TestWhatIf(t *testing.T) {
	b := bind(t)
	yes, no := true, false
	jira, wiki := access.Activity{Resource: jiraSite}, access.Activity{Resource: wikiSite}
	used := access.Activity{Resource: jiraSite, Last: noon.Add(-91 * 24 * time.Hour)}
	for text, want := range map[string]func(*access.Person){
		"groups+=ENG-data":               func(p *access.Person) { p.GroupIDs = []string{"s1", "j1", "s2"} },
		"groups+=eng-web":                func(p *access.Person) { p.GroupIDs = []string{"j1", "s1"} },
		"groups-=jira-users-acme":        func(p *access.Person) { p.GroupIDs = []string{"s1"} },
		"groups-=sales":                  func(*access.Person) {},
		"groups+=local people":           func(p *access.Person) { p.GroupIDs = []string{"s1", "j1", "loc"} },
		"email=Bo@b.example":             func(p *access.Person) { p.Email = "Bo@b.example" },
		"title=Head = of":                func(p *access.Person) { p.JobTitle = "Head = of" },
		"title=":                         func(p *access.Person) { p.JobTitle = "" },
		"department=IT":                  func(p *access.Person) { p.Department = "IT" },
		"organization=Acme":              func(p *access.Person) { p.Organization = "Acme" },
		"location=Berlin":                func(p *access.Person) { p.Location = "Berlin" },
		"managed=true":                   func(p *access.Person) { p.ClaimStatus = "managed" },
		"managed=false":                  func(p *access.Person) { p.ClaimStatus = "unmanaged" },
		"mfa=true":                       func(p *access.Person) { p.MFA = &yes },
		"mfa=unknown":                    func(p *access.Person) { p.MFA = nil },
		"emailVerified=false":            func(p *access.Person) { p.EmailVerified = &no },
		"membershipStatus=no_membership": func(p *access.Person) { p.MembershipStatus = "no_membership" },
		"accountStatus=closed":           func(p *access.Person) { p.AccountStatus = "closed" },
		"roles+=org-admin": func(p *access.Person) {
			p.PlatformRoles = []string{"atlassian/user",
				"atlassian/org-admin"}
		},
		"roles-=org-admin":          func(p *access.Person) { p.PlatformRoles = []string{"atlassian/user"} },
		" app:Jira/ACME = 91d ago ": func(p *access.Person) { p.Activity = []access.Activity{wiki, used} },
		"app:jira/acme=2026-01-01T00:00:00Z": func(p *access.Person) {
			p.Activity = []access.Activity{wiki,
				{Resource: jiraSite, Last: newYear}}
		},
		"app:jira-software/acme=never": func(p *access.Person) {
			p.Activity = []access.Activity{wiki,
				{Resource: jiraSite, Never: true}}
		},
		"app:jira/acme=unknown": func(p *access.Person) { p.Activity = []access.Activity{wiki, jira} },
		"app:jira/acme=none":    func(p *access.Person) { p.Activity = []access.Activity{wiki} },
	} {
		t.Run(text, func(t *testing.T) {
			// with room behind every slice, so that changing it in place would show
			p := access.Person{
				ID: "x", MFA: &no, GroupIDs: append(make([]string, 0, 9), "s1", "j1"),
				PlatformRoles: append(make([]string, 0, 9), "atlassian/user", "atlassian/org-admin"),
				Activity:      append(make([]access.Activity, 0, 9), jira, wiki),
			}
			expected := p
			expected.GroupIDs, expected.PlatformRoles, expected.Activity = slices.Clone(p.GroupIDs),
				slices.Clone(p.PlatformRoles), slices.Clone(p.Activity)
			before := expected
			want(&expected)
			got, now, err := applyAll(t, b, p, text)
			require.NoError(t, err)
			require.Equal(t, expected, got)
			require.Equal(t, noon, now)
			require.Equal(t, before, p)
			require.Equal(t, []string{"s1", "j1", "", ""}, p.GroupIDs[:4])
			require.Equal(t, []string{"atlassian/user", "atlassian/org-admin", ""}, p.PlatformRoles[:3])
			require.Equal(t, []access.Activity{jira, wiki, {}}, p.Activity[:3])
		})
	}
}

var newYear = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestWhatIfTimes(t *testing.T) {
	b := bind(t)
	p, now, err := applyAll(t, b, access.Person{}, "now=2026-01-01T01:00:00+01:00", "now+=7d", "app:jira/acme=2d ago")
	require.NoError(t, err)
	require.Equal(t, newYear.Add(7*24*time.Hour), now)
	require.Equal(t, []access.Activity{{Resource: wikiSite},
		{Resource: jiraSite, Last: newYear.Add(5 * 24 * time.Hour)}}, p.Activity,
		"of another app nothing is known still")
	p, _, err = applyAll(t, b, access.Person{}, "app:jira/acme=none")
	require.NoError(t, err)
	require.Equal(t, []access.Activity{{Resource: wikiSite}}, p.Activity)
	_, now, err = cases.WhatIf{}.Apply(b, p, noon)
	require.NoError(t, err)
	require.Equal(t, noon, now)
}

func TestWhatIfRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "there is no =",
		"groups":                              "there is no =",
		"groups=x":                            `nothing can be supposed of "groups"`,
		"groups+=":                            "the name is empty",
		"roles+=user":                         `"user" is no role that can be supposed`,
		"email=ana":                           `"ana" is not an e-mail address`,
		"managed=unknown":                     `managed cannot be "unknown"`,
		"mfa=yes":                             `mfa cannot be "yes"`,
		"accountStatus=gone":                  `accountStatus cannot be "gone"`,
		"membershipStatus=":                   `membershipStatus cannot be ""`,
		"now=soon":                            `"soon" is not an instant`,
		"now+=-3d":                            `"-3d" is not a duration`,
		"now-=3d":                             `nothing can be supposed of "now-"`,
		"app:jira=never":                      `"jira" is no app on a site`,
		"app:jira/acme=91d":                   `"91d" does not say when the app was last used`,
		"colour=red\nand\nmore":               `nothing can be supposed of "colour"`,
		"title=" + string(make([]byte, 1001)): "longer than 1000 characters",
	} {
		_, err := cases.ReadWhatIf(text)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "groups+=NAME", "the forms there are")
		require.NotContains(t, err.Error(), "\n")
	}
	b := bind(t)
	for text, want := range map[string]string{
		"groups+=eng-wep":                    `groups+=eng-wep: there is no group "eng-wep"; there is "eng-web"`,
		"groups-=zzz":                        `groups-=zzz: there is no group "zzz"`,
		"groups+=jira-users-a":               `there is no group "jira-users-a"; there is "jira-users-acme", "jira-users-extra"`,
		"app:confluense/acme=never":          `the organization has no app confluense/acme; there is "confluence/acme"`,
		"app:jira/acme=2999-01-01T00:00:00Z": "2999-01-01T00:00:00Z lies after",
	} {
		before := access.Person{ID: "x", GroupIDs: []string{"s1"}}
		p, now, err := applyAll(t, b, before, text)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
		require.Equal(t, before, p, "nothing is changed by half")
		require.Equal(t, noon, now)
	}
}

// Of many groups like the one named, five are enough.
func TestWhatIfNamesFewGroups(t *testing.T) {
	_, _, err := applyAll(t, bind(t, numbers(50, "contractors-%02d")...), access.Person{}, "groups+=contractors")
	require.Equal(t, 5, strings.Count(err.Error(), `"contractors-`))
}
