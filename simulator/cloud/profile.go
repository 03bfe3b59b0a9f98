package cloud

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// OrgProfile is what an OrgFile has about one person besides their groups.
type OrgProfile struct {
	Title         string `json:"title,omitempty"`
	Department    string `json:"department,omitempty"`
	Organization  string `json:"organization,omitempty"`
	Location      string `json:"location,omitempty"`
	EmailVerified *bool  `json:"emailVerified,omitempty"` // default true
	// default: seven of eight managed accounts; unmanaged ones cannot have it
	MFAEnabled *bool `json:"mfaEnabled,omitempty"`
	// app, on all sites, or app/site, which has priority → RFC 3339 or never
	LastActive map[string]string `json:"lastActive,omitempty"`
}

func (s *seeding) profiles(all map[string]OrgProfile) error {
	for _, key := range slices.Sorted(maps.Keys(all)) {
		u, p := s.people[key], all[key]
		if u == nil {
			return fmt.Errorf("profiles: %q is not one of the people", key)
		}
		change := profileChange{Title: &p.Title, Department: &p.Department, Organization: &p.Organization,
			Location:      &p.Location,
			EmailVerified: p.EmailVerified, MFAEnabled: p.MFAEnabled}
		if err := change.check(u); err != nil {
			return fmt.Errorf("profiles: %q: %w", key, err)
		}
		change.apply(u)
		if err := s.activity(u, p.LastActive); err != nil {
			return fmt.Errorf("profiles: %q: lastActive: %w", key, err)
		}
	}
	return nil
}

func (s *seeding) activity(u *user, dates map[string]string) error {
	names := slices.Sorted(maps.Keys(dates))
	// app/site after app
	slices.SortStableFunc(names, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	for _, name := range names {
		at, err := lastUse(dates[name])
		if err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		apps, err := s.c.appsNamed(name)
		if err != nil {
			return err
		}
		for _, app := range apps {
			u.setLastActive(app, at)
		}
	}
	return nil
}

// appsNamed returns the apps named by jira/acme, or by jira for every site.
func (d *directory) appsNamed(name string) (apps []*resource, err error) {
	if app, site, one := strings.Cut(name, "/"); one {
		r, err := d.app(app, site)
		return []*resource{r}, err
	}
	owner := appNamed(name).owner
	for _, r := range d.resources {
		if r.owner == owner {
			apps = append(apps, r)
		}
	}
	if apps == nil {
		return nil, fmt.Errorf("there is no app %q on any site", name)
	}
	return apps, nil
}

// suspended suspends people at the start; they keep their groups and roles.
func (s *seeding) suspended(keys []string) error {
	for _, key := range keys {
		u := s.people[key]
		if u == nil || u.suspended.now {
			return fmt.Errorf("suspended: %q is not one of the people, or there twice", key)
		}
		u.suspended.now = true
	}
	return nil
}

// profileChange is what an administrator can change of a person's account. Nil fields stay, and "" empties.
type profileChange struct {
	Name          *string `json:"name"`
	Title         *string `json:"title"`
	Department    *string `json:"department"`
	Organization  *string `json:"organization"`
	Location      *string `json:"location"`
	EmailVerified *bool   `json:"emailVerified"`
	MFAEnabled    *bool   `json:"mfaEnabled"`
}

func (p *profileChange) check(u *user) error {
	switch {
	case p.Name != nil && strings.TrimSpace(*p.Name) == "":
		return fmt.Errorf("name must not be empty")
	case p.MFAEnabled != nil && *p.MFAEnabled && !u.managed:
		return fmt.Errorf("mfaEnabled is known of managed accounts only, and the domain of %s is not claimed", u.email)
	}
	return nil
}

func (p *profileChange) apply(u *user) {
	set := func(into, text *string) {
		if text != nil {
			*into = *text
		}
	}
	set(&u.name, p.Name)
	set(&u.title, p.Title)
	set(&u.department, p.Department)
	set(&u.organization, p.Organization)
	set(&u.location, p.Location)
	if p.EmailVerified != nil {
		u.unverified = !*p.EmailVerified
	}
	if p.MFAEnabled != nil {
		u.twoStep = p.MFAEnabled
	}
}

// setProfile changes the account at once; no lag is known for it. A SCIM record keeps what the identity provider wrote,
// whose next write restores it. The known action names (from public rule sets; the vendor publishes none) cover only
// one change of a profile, the end of two-step verification: all others make no event, nor do changes through SCIM.
func (c *Cloud) setProfile(u *user, p profileChange, by actor) {
	had := u.mfa()
	p.apply(u)
	if had && !u.mfa() {
		c.record(event{action: "twosv_disabled_for_user", actor: by, user: u})
	}
}

func (u *user) setLastActive(app *resource, at instant) {
	if u.lastActive == nil {
		u.lastActive = map[*resource]instant{}
	}
	u.lastActive[app] = at
}

// lastUse parses when an app was last used; zero means never.
func lastUse(text string) (instant, error) {
	if text == "never" {
		return 0, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no time: write it like 2026-01-31T10:00:00Z, or never", text)
	case at.IsZero(): // the zero time of programs
		return 0, nil
	case at.UnixNano() <= 0:
		return 0, fmt.Errorf("%q is not after 1970", text)
	}
	return at.UnixNano(), nil
}
