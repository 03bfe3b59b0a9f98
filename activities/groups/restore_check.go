package groups

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// CheckRestoreInput asks what became of a restore.
type CheckRestoreInput struct {
	RestoreRunInput
	Lost  messages.RestoreOf `json:"lost"`
	Since time.Time          `json:"since"`          // of the preview
	Last  bool               `json:"last,omitempty"` // what is not seen now counts as a difference
}

// CheckRestoreResult is what became of a restore.
type CheckRestoreResult struct {
	Open   int                   `json:"open"`   // lines that are not written yet
	Unseen int                   `json:"unseen"` // written, and not seen yet
	Counts []messages.StateCount `json:"counts"`
	// Differs are how the group differs from its record, but for whom the preview leaves out: 20 at most, each a role
	// or a person. Differing is their number.
	Differs   []string `json:"differs,omitempty"`
	Differing int      `json:"differing,omitempty"`
}

// mostDiffers is how many differences are told; the lines of the run have all.
const mostDiffers = 20

// CheckRestore compares a restored group with its record: roles, and members one by one. A repeat compares again.
//
// Calls: none while lines are open; then two, and one for a hundred members.
func (a *Activities) CheckRestore(ctx context.Context, in CheckRestoreInput) (CheckRestoreResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.env.OpenInForce(ctx, in.Org)
	if err != nil {
		return CheckRestoreResult{}, err
	}
	c := &restoreCheck{Session: s, in: in}
	if s.Current != in.Policy {
		c.differ("another policy is in force than that of the preview, so nothing more is written: start the restore again for a preview under it")
		c.result.Counts, err = a.counts(ctx, in.RestoreRunInput, nil)
		return c.result, err
	}
	var group string
	var lines []access.Change
	c.result.Counts, err = a.counts(ctx, in.RestoreRunInput, func(line access.Change) error {
		if line.State.Open() {
			c.result.Open++
		}
		if line.GroupID != "" {
			group = line.GroupID
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		return c.result, err
	}
	if i := slices.IndexFunc(lines, c.unmade); i >= 0 {
		c.differ("%s: %s; nothing else was tried", lines[i].Label(), lines[i].Answer)
		return c.result, nil
	}
	if c.result.Open > 0 {
		return c.result, nil
	}
	if err := c.compare(ctx, group, lines); err != nil {
		return c.result, err
	}
	c.result.Counts, err = a.counts(ctx, in.RestoreRunInput, nil)
	return c.result, err
}

// restoreCheck is a group being compared with its record.
type restoreCheck struct {
	*session.Session
	in     CheckRestoreInput
	seen   []access.Change // lines that this read shows
	result CheckRestoreResult
}

func (c *restoreCheck) differ(format string, args ...any) {
	if c.result.Differing++; len(c.result.Differs) < mostDiffers {
		c.result.Differs = append(c.result.Differs, fmt.Sprintf(format, args...))
	}
}

// unmade reports whether a line says that the group itself could not be made.
func (c *restoreCheck) unmade(line access.Change) bool {
	_, group := access.RestoreOf(line.Target)
	return group && line.Person == c.in.Group && !line.State.Open() && line.State != access.Done
}

// compare compares roles and members with the lines, which have all that the record has.
func (c *restoreCheck) compare(ctx context.Context, group string, lines []access.Change) error {
	roles, err := c.GroupRoles(ctx, []string{group})
	if err != nil {
		return err
	}
	members, err := membersOf(ctx, c.Session, group)
	if err != nil {
		return err
	}
	sites, err := c.ReadSites(ctx)
	if err != nil {
		return err
	}
	left := map[string]bool{}
	for id := range members {
		left[id] = true
	}
	for _, line := range lines {
		delete(left, line.Person)
		_, shown := members[line.Person]
		label := line.Label()
		if role, resource, ofGroup := access.GroupRoleOf(line.Target); ofGroup {
			label = "the role " + roleInWords(role, resource, sites)
			shown = slices.ContainsFunc(roles, func(r access.RoleAssignment) bool {
				return r.Role == role && r.Resource == resource
			})
		} else if line.Person == c.in.Group {
			shown = true // it was found by its id
		}
		c.line(line, label, shown)
	}
	if !c.in.Lost.Exists { // whoever is in a group that was there is none of the restore's
		for _, id := range session.SortedKeys(left) {
			c.differ("%s is in the group, and was not in the lost one", members[id].Label())
		}
	}
	return c.Ledger.Verified(ctx, c.Org, c.in.Run, c.seen)
}

// line compares one line with what is shown.
func (c *restoreCheck) line(line access.Change, label string, shown bool) {
	switch {
	case line.State == access.Recorded: // the preview leaves them out
	case shown && (line.State == access.Done || line.State == access.Already):
		if line.State == access.Done && !line.Verified {
			c.seen = append(c.seen, line)
		}
	case shown: // somebody else has given it
	case line.State == access.Done && !c.in.Last:
		c.result.Unseen++
	case line.State == access.Done, line.State == access.Already:
		c.differ("%s: no read shows it", label)
	default:
		c.differ("%s: %s", label, line.Answer)
	}
}
