package cloud

import "strings"

// scimProfile is the part of a SCIM user that the identity provider writes.
type scimProfile struct {
	ExternalID        string      `json:"externalId,omitempty"`
	UserName          string      `json:"userName"`
	Name              scimName    `json:"name"`
	DisplayName       string      `json:"displayName,omitempty"`
	NickName          string      `json:"nickName,omitempty"`
	Title             string      `json:"title,omitempty"`
	PreferredLanguage string      `json:"preferredLanguage,omitempty"`
	Department        string      `json:"department,omitempty"`
	Organization      string      `json:"organization,omitempty"`
	Timezone          string      `json:"timezone,omitempty"`
	Emails            []scimEmail `json:"emails,omitempty"`
	PhoneNumbers      []scimEmail `json:"phoneNumbers,omitempty"`
	Active            *bool       `json:"active,omitempty"`

	Enterprise *scimEnterprise `json:"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,omitempty"`
}

type scimName struct {
	Formatted       string `json:"formatted,omitempty"`
	FamilyName      string `json:"familyName,omitempty"`
	GivenName       string `json:"givenName,omitempty"`
	MiddleName      string `json:"middleName,omitempty"`
	HonorificPrefix string `json:"honorificPrefix,omitempty"`
	HonorificSuffix string `json:"honorificSuffix,omitempty"`
}

type scimEmail struct {
	Value   string `json:"value"`
	Type    string `json:"type,omitempty"`
	Primary bool   `json:"primary,omitempty"`
}

type scimEnterprise struct {
	Organization string `json:"organization,omitempty"`
	Department   string `json:"department,omitempty"`
}

// email returns the primary address, or the first, or the user name.
func (p *scimProfile) email() string {
	for _, e := range p.Emails {
		if e.Primary {
			return e.Value
		}
	}
	if len(p.Emails) > 0 {
		return p.Emails[0].Value
	}
	return p.UserName
}

func (p *scimProfile) fullName() string {
	switch {
	case p.DisplayName != "":
		return p.DisplayName
	case p.Name.Formatted != "":
		return p.Name.Formatted
	}
	return orElse(strings.TrimSpace(p.Name.GivenName+" "+p.Name.FamilyName), p.UserName)
}

// joined returns the profile with the extension's attributes among its own: the service has each of them once, and
// shows it in both places.
func (p scimProfile) joined() scimProfile {
	if p.Enterprise != nil {
		p.Department = orElse(p.Enterprise.Department, p.Department)
		p.Organization = orElse(p.Enterprise.Organization, p.Organization)
		p.Enterprise = nil
	}
	return p
}

// current returns the profile as the record has it.
func (u *scimRecord) current() scimProfile {
	active := !u.inactive
	if u.profile != nil {
		p := *u.profile
		p.Active = &active
		return p
	}
	p := scimProfile{UserName: u.userName, Active: &active}
	if a := u.account; a != nil {
		given, family, _ := strings.Cut(a.name, " ")
		p.Name = scimName{Formatted: a.name, GivenName: given, FamilyName: family}
		p.DisplayName, p.NickName, p.Title, p.Department, p.Organization = a.name, a.nickname, a.title, a.department,
			a.organization
		p.Timezone, p.PreferredLanguage = a.timezone, a.locale
		p.Emails = []scimEmail{{Value: u.userName, Type: "work", Primary: true}}
	}
	return p
}
