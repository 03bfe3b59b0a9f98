package account

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// Rule says whether something may be done to an account: Allowed, or the reason why not, in the API's words. "" means
// that the API does not say.
type Rule string

// The rules. Others than these are possible.
const (
	Allowed        Rule = "allowed"
	Refused        Rule = "refused"                // without a reason
	BySCIM         Rule = "externalDirectory.scim" // a SCIM directory owns it
	ByGoogle       Rule = "externalDirectory.google"
	BySAML         Rule = "authPolicy.saml" // set at every login
	ExportControl  Rule = "blocked.exportControl"
	Administrative Rule = "administrative"
	NotMyself      Rule = "administrative.notMyself"
	MyselfOnly     Rule = "myselfOnly"
	ByOwner        Rule = "managedAccount"
)

// UnmarshalJSON reads {"allowed":true} or {"allowed":false,"reason":{"key":"…"}}.
func (r *Rule) UnmarshalJSON(text []byte) error {
	var rule struct {
		Allowed *bool
		Reason  struct{ Key string }
	}
	err := json.Unmarshal(text, &rule)
	switch {
	case err != nil:
		return err
	case rule.Allowed == nil:
		return errors.New(`a rule without "allowed"`)
	case *rule.Allowed:
		*r = Allowed
	case rule.Reason.Key == "" || Rule(rule.Reason.Key) == Allowed:
		*r = Refused
	default:
		*r = Rule(rule.Reason.Key)
	}
	return nil
}

// Permissions are what the organization may do to an account. An account about which they are answered is managed.
type Permissions struct {
	Email        Rule            `json:"email.set"`            // set another address
	Enablement   Rule            `json:"lifecycle.enablement"` // activate and deactivate
	Deletion     Rule            `json:"lifecycle.delete"`
	ReadTokens   Rule            `json:"apiToken.read"`
	DeleteTokens Rule            `json:"apiToken.delete"`
	ReadProfile  Rule            `json:"profile.read"`
	Profile      map[string]Rule `json:"profile.write"` // by field, for example extended_profile.job_title
}

// Locked reports whether an identity provider alone activates and deactivates the account, as long as it has a record
// of it.
func (p Permissions) Locked() bool { return p.Enablement == BySCIM || p.Enablement == ByGoogle }

// Permissions reads what may be done to an account. ErrNotManaged means that the organization may do nothing to it.
func (c *Client) Permissions(ctx context.Context, accountID string) (Permissions, error) {
	var p Permissions
	err := c.do(ctx, call{
		operation: "read account permissions", method: http.MethodGet, account: accountID,
		decode: func(body io.Reader) error {
			if err := json.NewDecoder(body).Decode(&p); err != nil {
				return err
			}
			if p.Enablement == "" {
				return errors.New(`it has no "lifecycle.enablement"`)
			}
			return nil
		},
	})
	if err != nil {
		return Permissions{}, err
	}
	return p, nil
}
