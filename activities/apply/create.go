package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
)

// createGroup creates a group and records it, even while its worker is told to stop.
func (s *Session) createGroup(ctx context.Context, run, name string) error {
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err := s.writer().CreateGroup(whole, s.Directory, name, "Kept by Castellan for organization "+s.Org)
	if err != nil && !errors.Is(err, organization.ErrNameTaken) {
		return session.WrapAPIError("create group "+name+" in organization "+s.Org, err)
	}
	body, _ := json.Marshal(map[string]string{"group": name})
	_, err = s.Ledger.Append(whole, ledger.Entry{Org: s.Org, At: s.Now(), Kind: "group-created", Run: run, Body: body})
	return err
}

// CreateGroups creates the missing groups of mappings with `create: true`. The response to a creation has no ID and the
// name takes a second or two to be found, so the IDs are searched for repeatedly.
func (s *Session) CreateGroups(ctx context.Context, run string, o access.Outline, names []string) (access.Outline,
	error) {
	for _, name := range names {
		if err := s.createGroup(ctx, run, name); err != nil {
			return o, err
		}
	}
	var made []access.Group
	for _, some := range session.Chunks(names, session.MostEmails) {
		groups, err := s.ReadGroups(ctx,
			organization.GroupQuery{Names: some, Limit: session.PageSize, Expand: []string{"counts.users"}})
		if err != nil {
			return o, err
		}
		made = append(made, groups...)
	}
	if len(made) < len(names) {
		return o, session.Benign(2*time.Second,
			fmt.Errorf("organization %s: %d of %d groups just created are not visible yet; looking again", s.Org,
				len(names)-len(made), len(names)))
	}
	o.Groups = append(o.Groups, made...)
	return o, nil
}
