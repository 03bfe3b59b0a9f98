package groups

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// lostReported is how long the loss of a group is reported, unless it is restored or dismissed before.
const lostReported = 30 * 24 * time.Hour

// Lost returns a finding for each group that was lost within the last 30 days, and neither restored nor dismissed.
//
// Calls: none, or one or two for the names of sites, if the outline does not have them.
func Lost(ctx context.Context, s *session.Session, sites []access.Site) ([]access.Finding, error) {
	var found []access.Finding
	for after := ""; ; {
		page, err := s.Ledger.GroupRecords(ctx, s.Org, ledger.GroupQuery{Lost: true, After: after, Limit: recordsRead})
		if err != nil {
			return nil, err
		}
		for _, g := range page {
			after = g.ID
			if g.Outcome != "" || s.Now().Sub(g.Lost) > lostReported {
				continue
			}
			if len(sites) == 0 && len(g.Roles) > 0 {
				if sites, err = s.ReadSites(ctx); err != nil {
					return nil, err
				}
			}
			one, err := lost(ctx, s, g, sites)
			if err != nil {
				return nil, err
			}
			found = append(found, one)
		}
		if len(page) < recordsRead {
			return found, nil
		}
	}
}

func lost(ctx context.Context, s *session.Session, g ledger.GroupRecord, sites []access.Site) (access.Finding, error) {
	members, err := s.Ledger.CountGroupMembers(ctx, s.Org, g)
	if err != nil {
		return access.Finding{}, err
	}
	kind, gave := "local", "it gave no app role"
	if g.Synced {
		kind = "synced"
	}
	if roles := RolesInWords(g.Roles, sites); len(roles) > 0 {
		gave = "they may have lost: " + strings.Join(roles, ", ")
	} else if g.RolesRead.IsZero() {
		gave = "its app roles had not been read yet"
	}
	return access.Finding{Rule: "group-lost", Subject: g.Name, Detail: fmt.Sprintf(
		"the %s group was deleted at Atlassian, noticed at %s; it had %d members, and %s. To preview its restore: %s. The record does not have %s",
		kind, session.Timestamp(g.Lost), members, gave, display.Starter("restore", s.Org, g.ID), messages.NotInRecords)}, nil
}

// RolesInWords returns roles as "user of jira-software/acme", in order.
func RolesInWords(roles []ledger.GroupRole, sites []access.Site) (words []string) {
	for _, r := range roles {
		words = append(words, roleInWords(r.Role, r.Resource, sites))
	}
	slices.Sort(words)
	return words
}

func roleInWords(role, resource string, sites []access.Site) string {
	where := resource
	for _, s := range sites {
		if s.Resource == resource {
			where = s.App + "/" + s.Site
		}
	}
	return cmp.Or(strings.TrimPrefix(role, "atlassian/"), "a role") + " of " + where
}

// DefaultsInWords returns for which roles a group is a default group, as RolesInWords.
func DefaultsInWords(roles []ledger.GroupRole, sites []access.Site) []string {
	return RolesInWords(slices.DeleteFunc(slices.Clone(roles),
		func(r ledger.GroupRole) bool { return !r.Default }), sites)
}
