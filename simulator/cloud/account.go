package cloud

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// The user management API reaches managed accounts only, in the directory or outside it.

func (c *Cloud) managedAccount(r *call) (*user, *answer) {
	u := c.userByID[r.PathValue("accountId")]
	var bad answer
	switch {
	case u == nil:
		bad = refuse(http.StatusNotFound, "accountNotFound", "The account was not found.")
	case !u.managed:
		bad = refuse(http.StatusForbidden, "forbidden", "The account is not managed by the organization.")
	default:
		return u, nil
	}
	return nil, &bad
}

// rule says whether something may be done, and why not if it may not.
type rule struct {
	Allowed bool    `json:"allowed"`
	Reason  *reason `json:"reason,omitempty"`
}

type reason struct {
	Key string `json:"key"`
}

// owned is the rule for what an identity provider owns as long as it has a record of the account.
func (u *user) owned() rule {
	if u.synced() {
		return rule{Reason: &reason{"externalDirectory.scim"}}
	}
	return rule{Allowed: true}
}

// profileRules are the rules for the fields of a profile.
func (u *user) profileRules() map[string]rule {
	free, owned := rule{Allowed: true}, u.owned()
	return map[string]rule{"name": owned, "nickname": free, "zoneinfo": owned, "locale": owned,
		"extended_profile.job_title": owned, "extended_profile.department": owned,
		"extended_profile.organization": owned, "extended_profile.location": free}
}

func forbidden(key string, context any) answer {
	return answer{status: http.StatusForbidden, problem: &problem{code: key, context: context}}
}

func (c *Cloud) getAccount(r *call) answer {
	u, bad := c.managedAccount(r)
	if bad != nil {
		return *bad
	}
	free, owned, profile := rule{Allowed: true}, u.owned(), u.profileRules()
	all := map[string]any{"email.set": owned, "lifecycle.enablement": owned, "lifecycle.delete": free,
		"apiToken.read": free, "apiToken.delete": free,
		"profile.read": free, "profile.write": profile, "profile": profile}
	if asked := r.list("privileges"); asked != nil {
		for name := range all {
			if !slices.Contains(asked, name) {
				delete(all, name)
			}
		}
	}
	return ok(all)
}

// accountFields are the fields of a profile that can be written, by their paths.
func (u *user) accountFields() map[string]*string {
	return map[string]*string{"name": &u.name, "nickname": &u.nickname, "zoneinfo": &u.timezone, "locale": &u.locale,
		"extended_profile.job_title": &u.title, "extended_profile.department": &u.department,
		"extended_profile.organization": &u.organization, "extended_profile.location": &u.location}
}

func (u *user) accountJSON() any {
	return map[string]any{"account": map[string]any{"account_id": u.id, "account_type": "atlassian",
		"account_status": u.accountStatus(), "name": u.name, "nickname": u.nickname, "email": u.email,
		"picture": picture, "locale": orElse(u.locale, "en-US"), "zoneinfo": orElse(u.timezone, "UTC"),
		"characteristics": map[string]any{"not_mentionable": false},
		"extended_profile": map[string]any{"job_title": u.title, "department": u.department,
			"organization": u.organization, "location": u.location}}}
}

func (c *Cloud) getProfile(r *call) answer {
	u, bad := c.managedAccount(r)
	if bad != nil {
		return *bad
	}
	return ok(u.accountJSON())
}

// longest are the vendor's bounds for fields of a profile, in characters.
var longest = map[string]int{"name": 100, "nickname": 30}

// patchAccount changes all fields that are named, or none.
func (c *Cloud) patchAccount(r *call) answer {
	u, bad := c.managedAccount(r)
	if bad != nil {
		return *bad
	}
	var body map[string]any
	if !r.decode(&body) {
		return refuse(http.StatusBadRequest, "bodyParseFailure", "")
	}
	if inner, nested := body["extended_profile"].(map[string]any); nested {
		delete(body, "extended_profile")
		for name, value := range inner {
			body["extended_profile."+name] = value
		}
	}
	fields, rules, refused := u.accountFields(), u.profileRules(), map[string]rule{}
	for name, value := range body {
		text, isText := value.(string)
		switch most, bounded := longest[name]; {
		case fields[name] == nil || !isText:
			return refuse(http.StatusBadRequest, "bodyParseFailure", "")
		case bounded && utf8.RuneCountInString(text) > most:
			return violated(name, "maxLength")
		case !rules[name].Allowed:
			refused[name] = rules[name]
		}
	}
	if len(refused) > 0 {
		return forbidden("forbidden.fieldMutation", refused)
	}
	for name, value := range body {
		*fields[name] = value.(string)
	}
	c.nicks = nil
	return ok(u.accountJSON())
}

// violated refuses a field's value.
func violated(field, constraint string) answer {
	return answer{status: http.StatusBadRequest, problem: &problem{code: "fieldConstraintsViolated",
		context: map[string]any{"fieldViolations": []any{map[string]any{"field": field,
			"violations": []any{map[string]any{"key": constraint}}}}}}}
}

// putEmail sets another address, at a claimed domain. The vendor describes no answer for an address that somebody has:
// it is refused as one that breaks a constraint.
func (c *Cloud) putEmail(r *call) answer {
	u, bad := c.managedAccount(r)
	if bad != nil {
		return *bad
	}
	var body struct{ Email string }
	if !r.decode(&body) {
		return refuse(http.StatusBadRequest, "bodyParseFailure", "")
	}
	_, name, valid := strings.Cut(body.Email, "@")
	other := c.byEmail[strings.ToLower(body.Email)]
	switch {
	case !valid || name == "":
		return violated("email", "validCharacters")
	case u.synced():
		return forbidden("forbidden.action", u.owned())
	case !c.claims(body.Email):
		return forbidden("forbidden.unclaimedDomain", map[string]any{"domain": name})
	case other != nil && other != u:
		return violated("email", "unique")
	}
	c.setEmail(u, strings.ToLower(body.Email))
	u.unverified = false
	return noContent()
}
