package account

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// The statuses of an account.
const (
	StatusActive   = "active"
	StatusInactive = "inactive" // deactivated, or about to be deleted
	StatusClosed   = "closed"
)

// Profile is an account as its organization sees it.
type Profile struct {
	AccountID    string `json:"account_id"`
	Type         string `json:"account_type"`   // atlassian, customer or app
	Status       string `json:"account_status"` // a Status…
	Name         string `json:"name"`
	Nickname     string `json:"nickname"` // the public name, which stays the person's own
	Email        string `json:"email"`
	Locale       string `json:"locale"`   // for example en-US
	Timezone     string `json:"zoneinfo"` // for example Europe/Vienna
	JobTitle     string `json:"-"`
	Department   string `json:"-"`
	Organization string `json:"-"`
	Location     string `json:"-"`
}

// Profile reads an account. Unlike the organization's search, it also finds managed accounts outside the directory.
func (c *Client) Profile(ctx context.Context, accountID string) (Profile, error) {
	var found struct {
		Account struct {
			Profile
			Extended struct {
				JobTitle     string `json:"job_title"`
				Department   string `json:"department"`
				Organization string `json:"organization"`
				Location     string `json:"location"`
			} `json:"extended_profile"`
		} `json:"account"`
	}
	err := c.do(ctx, call{
		operation: "read account", method: http.MethodGet, account: accountID, parts: []string{"profile"},
		decode: func(body io.Reader) error {
			if err := json.NewDecoder(body).Decode(&found); err != nil {
				return err
			}
			if found.Account.AccountID == "" || found.Account.Status == "" {
				return errors.New("an account without its id or status")
			}
			return nil
		},
	})
	if err != nil {
		return Profile{}, err
	}
	p, more := found.Account.Profile, found.Account.Extended
	p.JobTitle, p.Department = more.JobTitle, more.Department
	p.Organization, p.Location = more.Organization, more.Location
	return p, nil
}

// SetEmail gives an account another address, at a domain that the organization has claimed, and ends all its sessions.
// ErrUnclaimed if the domain is not claimed, ErrLocked if an identity provider owns the account.
func (w Writer) SetEmail(ctx context.Context, accountID, address string) error {
	const operation = "set account address"
	if !strings.Contains(address, "@") {
		return wire.Invalid(pkg, operation, "the address is none")
	}
	return w.do(ctx, call{operation: operation, method: http.MethodPut, account: accountID, parts: []string{"email"},
		body: map[string]string{"email": address}, write: true})
}
