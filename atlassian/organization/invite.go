package organization

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/mail"
	"strings"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// Invitation invites one person into the organization. Without rules and groups it gives presence in the organization
// and nothing else.
type Invitation struct {
	Email  string
	Groups []string     // IDs of groups to join, never of one that an identity provider owns
	Rules  []InviteRule // app roles to give; the API adds the person to the role's default group where there is one
	Notify bool         // send an e-mail to the person; according to the vendor only if there is a text too
	Text   string       // a message in that e-mail
}

// InviteRule is a role on a resource.
type InviteRule struct {
	Resource string `json:"resource"` // ARI of an app on a site
	Role     string `json:"role"`     // for example atlassian/user
}

// Invited is the result of an invitation.
type Invited struct {
	AccountID string          // "" if the response has none: search for the person by e-mail address
	Failed    []InviteFailure // what the person did not get; empty if nothing failed
}

// InviteFailure is one group or one role that an invitation did not give.
type InviteFailure struct {
	Group    string // id; "" for a role
	Resource string // ARI; "" for a group
	Role     string // as the API calls it, for example ari:cloud:jira::role/product/member
	Reason   string // the API's; may be empty
}

// Invite adds a person to the organization. Somebody who was removed comes back with the same account, without the
// former groups and roles. It may take some time until a search finds the account.
//
// An invitation may succeed in part (206): that is no error, and Failed lists what is missing. ErrLicenceLimit means
// that an app's user limit is reached (409, ADMIN-UAM-409-3) or that the organization has no paid subscription (402);
// ErrNotFound that a resource, a role or a group does not exist. The response for somebody who is already there is not
// documented: read back.
func (w Writer) Invite(ctx context.Context, i Invitation) (Invited, error) {
	const operation = "invite"
	body, err := i.body(operation)
	if err != nil {
		return Invited{}, err
	}
	var invited Invited
	err = w.wire.Do(ctx, wire.Request{
		Operation: operation, Method: http.MethodPost, Path: wire.Path("v2", "orgs", w.org, "users", "invite"),
		Body: body, Write: true,
		Decode: func(r io.Reader) (err error) {
			invited, err = decodeInvited(r, i.Email)
			return err
		},
	})
	if err != nil {
		return Invited{}, err
	}
	return invited, nil
}

type inviteBody struct {
	Emails           []string     `json:"emails"`
	AdditionalGroups []string     `json:"additionalGroups,omitempty"`
	PermissionRules  []InviteRule `json:"permissionRules,omitempty"`
	SendNotification bool         `json:"sendNotification"`
	NotificationText string       `json:"notificationText,omitempty"`
}

func (i Invitation) body(operation string) (inviteBody, error) {
	c := checks{operation: operation}
	if address, err := mail.ParseAddress(i.Email); err != nil || address.Address != i.Email {
		c.refuse("%q is not an e-mail address", i.Email)
	}
	b := inviteBody{
		Emails: []string{i.Email}, PermissionRules: i.Rules, SendNotification: i.Notify, NotificationText: i.Text,
	}
	for _, group := range i.Groups {
		if !wire.Segment(BareID(group)) {
			c.refuse("%q cannot be a group's id", group)
		}
		b.AdditionalGroups = append(b.AdditionalGroups, BareID(group))
	}
	for _, rule := range i.Rules {
		if !strings.HasPrefix(rule.Resource, "ari:") || !strings.HasPrefix(rule.Role, "atlassian/") {
			c.refuse("role %q on %q: write a role such as atlassian/user and the ARI of a resource", rule.Role,
				rule.Resource)
		}
	}
	if i.Text != "" && !i.Notify {
		c.refuse("there is a text for an e-mail that is not to be sent")
	}
	return b, c.err
}

type invitedItem struct {
	Email, ID string
	Results   []struct {
		RoleAssignmentResult  []struct{ Resource, Role, Status, StatusReason string }
		GroupAssignmentResult []struct{ Group, Status, StatusReason string }
	}
}

const statusInvited = "INVITED"

// decodeInvited finds the entry of the address.
func decodeInvited(r io.Reader, email string) (invited Invited, err error) {
	found := false
	_, err = wire.DecodePage(r, func(item invitedItem) error {
		if strings.EqualFold(item.Email, email) {
			found, invited = true, item.invited()
		}
		return nil
	})
	if err == nil && !found {
		err = errors.New("it does not say what became of the invitation")
	}
	return invited, err
}

func (i invitedItem) invited() Invited {
	out := Invited{AccountID: i.ID}
	for _, result := range i.Results {
		for _, r := range result.RoleAssignmentResult {
			if r.Status != statusInvited {
				out.Failed = append(out.Failed,
					InviteFailure{Resource: r.Resource, Role: r.Role, Reason: r.StatusReason})
			}
		}
		for _, g := range result.GroupAssignmentResult {
			if g.Status != statusInvited {
				out.Failed = append(out.Failed, InviteFailure{Group: BareID(g.Group), Reason: g.StatusReason})
			}
		}
	}
	if out.AccountID == "" && len(out.Failed) == 0 {
		out.Failed = append(out.Failed, InviteFailure{Reason: "the answer names no account"})
	}
	return out
}
