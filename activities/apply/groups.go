package apply

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/identity"
	"github.com/castellan-io/castellan/ledger"
)

// MostMembers is how many people one write puts into a group of a SCIM directory, or takes out of it.
const MostMembers = 100

// NextGroupsInput asks for the groups of SCIM directories for which a run has lines to write.
type NextGroupsInput struct {
	session.RunInput
	Approved *bool `json:"approved,omitempty"` // as in NextInput
}

// GroupWork is what a run has to write for one group.
type GroupWork struct {
	Provision string `json:"p"`
	Group     string `json:"g"`                // its name
	Joins     bool   `json:"joins,omitempty"`  // people join it; or it is made, or taken over
	Leaves    bool   `json:"leaves,omitempty"` // people leave it
	Delete    bool   `json:"delete,omitempty"` // it is deleted, and everybody leaves it by that
}

// NextGroups lists the groups for which a run has lines to write, by name. It changes nothing.
func (a *Activities) NextGroups(ctx context.Context, in NextGroupsInput) (all []GroupWork, err error) {
	defer session.AutoHeartbeat(ctx)()
	found, err := a.env.Ledger.GroupWork(ctx, in.Org, in.Run, in.Approved)
	if err != nil {
		return nil, err
	}
	at := map[[2]string]int{}
	for _, one := range found {
		provision, group := access.SCIMGroupOf(one.Target)
		key := [2]string{provision, group}
		if _, known := at[key]; !known {
			at[key] = len(all)
			all = append(all, GroupWork{Provision: provision, Group: group})
		}
		switch w := &all[at[key]]; {
		case one.Action != access.Remove:
			w.Joins = true
		case one.Target.Kind() == access.KindSCIMGroupExists:
			w.Delete = true
		default:
			w.Leaves = true
		}
	}
	return all, nil
}

// GroupChangeInput asks for the next write for one group of a SCIM directory.
type GroupChangeInput struct {
	session.RunInput
	Provision string        `json:"provision"`
	Group     string        `json:"group"`  // its name
	Action    access.Action `json:"action"` // Add makes or takes over the group, and adds people; Remove takes people out
	Delete    bool          `json:"delete,omitempty"`
	After     string        `json:"after,omitempty"` // the last person of the batch before
	Limit     int           `json:"limit,omitempty"` // most people; 0: MostMembers
	Approved  *bool         `json:"approved,omitempty"`
}

// GroupChangeResult is what became of the lines of one write.
type GroupChangeResult struct {
	After  string                     `json:"after,omitempty"` // for the next batch
	More   bool                       `json:"more,omitempty"`  // there may be another batch
	Limit  int                        `json:"limit,omitempty"` // how many people the directory takes at once, if it refused more
	States map[access.ChangeState]int `json:"states,omitempty"`
}

// groupChange is one write for a group of a SCIM directory.
type groupChange struct {
	*session.Provisioner
	lines  *Session // ends the lines
	in     GroupChangeInput
	groups *session.Groups
	group  *identity.GroupDecision // nil: nothing is decided about it
	result GroupChangeResult
}

// ApplyGroup makes one write for a group: it makes the group with its first members, adds or removes up to a hundred
// people, or deletes it. Each line is decided again just before, from the ledger's replicas as they are then, and only
// what is still asked for is written.
//
// A repeat is safe: lines whose write was begun and whose outcome is not known make it read the group first. The calls
// are idempotent as well: whoever is a member already stays one.
//
// Calls: one; one more after a lost answer; three or more before a deletion; two for each halving where the directory
// takes fewer people at once.
func (a *Activities) ApplyGroup(ctx context.Context, in GroupChangeInput) (GroupChangeResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.open(ctx, in.Org, in.Policy)
	if err != nil {
		return GroupChangeResult{}, err
	}
	p, err := s.OpenProvision(ctx, in.Provision)
	if err != nil {
		return GroupChangeResult{}, err
	}
	c := &groupChange{Provisioner: p, lines: s, in: in, result: GroupChangeResult{States: map[access.ChangeState]int{}}}
	if err := c.decide(ctx); err != nil {
		return GroupChangeResult{}, err
	}
	if in.Delete {
		err = c.delete(ctx)
	} else {
		err = c.members(ctx)
	}
	return c.result, err
}

// decide decides about the groups as the ledger has them now.
func (c *groupChange) decide(ctx context.Context) (err error) {
	if c.groups, err = c.Groups(ctx); err == nil && c.groups != nil {
		c.group = c.groups.Named(c.in.Group)
	}
	return err
}

// moot returns why nothing of the run is written any more; "" if it is.
func (c *groupChange) moot() string {
	switch {
	case c.lines.Current != "" && c.lines.Current != c.in.Policy:
		return "another policy is in force by now, which the next verification follows"
	case c.Policy.DryRun || c.Decide.Observe:
		return "the policy says by now that nothing is written: dryRun, or directory.mode: observe"
	}
	return ""
}

const decidedOtherwise = "what is known just before writing asks for something else; it is decided again"

// consented reports whether nothing holds a line now that did not when it was planned.
func consented(holds []identity.Hold, line access.Change) bool {
	return !slices.ContainsFunc(holds, func(h identity.Hold) bool { return !slices.Contains(line.HeldBy, string(h)) })
}

// begin begins the next lines of a target, and ends those that may not be written any more.
func (c *groupChange) begin(ctx context.Context, target access.Entitlement, action access.Action, after string,
	limit int) (lines []access.Change, err error) {
	next, err := c.Ledger.GroupLines(ctx, c.Org, c.in.Run, ledger.GroupWork{Target: target, Action: action},
		c.in.Approved, after, limit)
	if err != nil || len(next) == 0 {
		return nil, err
	}
	people := PeopleOf(next)
	c.result.After, c.result.More = people[len(people)-1], len(next) == limit
	lines, err = c.Ledger.BeginChanges(ctx, c.Org, c.in.Run, target, people, c.Now())
	lines = slices.DeleteFunc(lines,
		func(l access.Change) bool { return l.State != access.Planned && l.State != access.Sent })
	return lines, err
}

// end ends lines, all with one answer.
func (c *groupChange) end(ctx context.Context, lines []access.Change, state access.ChangeState, answer string) error {
	if len(lines) == 0 {
		return nil
	}
	ended := make([]access.Change, len(lines))
	for n, line := range lines {
		line.State, line.Answer, line.At = state, answer, c.Now()
		ended[n] = line
	}
	c.result.States[state] += len(lines)
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second) // even while it is being cancelled
	defer cancel()
	return c.Ledger.RecordLines(keep, c.Org, c.in.Run, ended)
}

// unsent sets lines back to planned, since the write certainly did not happen, and returns the error.
func (c *groupChange) unsent(ctx context.Context, lines []access.Change, err error) error {
	planned := slices.DeleteFunc(slices.Clone(lines), func(l access.Change) bool { return l.State == access.Sent })
	if len(planned) == 0 {
		return err
	}
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, c.Ledger.CancelChanges(keep, c.Org, c.in.Run, planned[0].Target, PeopleOf(planned)))
}

// members makes or takes over the group, if that is asked for, and puts the next people into it, or takes them out.
func (c *groupChange) members(ctx context.Context) error {
	var create *access.Change
	if c.in.Action == access.Add && c.in.After == "" {
		var err error
		if create, err = c.beginGroup(ctx); err != nil {
			return err
		}
	}
	limit := c.in.Limit
	if limit <= 0 || limit > MostMembers {
		limit = MostMembers
	}
	lines, err := c.begin(ctx, access.SCIMGroupTarget(c.in.Provision, c.in.Group), c.in.Action, c.in.After, limit)
	if err != nil {
		return err
	}
	lines = slices.DeleteFunc(lines, access.LeavesWithGroup)
	if why := c.moot(); why != "" {
		return c.end(ctx, lines, access.Superseded, why)
	}
	if c.group != nil && c.group.Group != "" &&
		slices.ContainsFunc(lines, func(l access.Change) bool { return l.State == access.Sent }) {
		if err := c.readBack(ctx); err != nil {
			return c.unsent(ctx, lines, session.WrapSCIMError("read group "+c.in.Group+" again", err))
		}
	}
	batch, err := c.asked(ctx, lines)
	if err != nil {
		return c.unsent(ctx, lines, err)
	}
	if create != nil {
		return c.create(ctx, *create, batch)
	}
	return c.write(ctx, batch)
}

// readBack reads the group as it is now.
func (c *groupChange) readBack(ctx context.Context) error {
	g, err := c.SCIM.Group(ctx, string(c.group.Group))
	if errors.Is(err, scim.ErrNotFound) {
		return c.Ledger.DirectoryGroupGone(ctx, c.Org, c.Spec.Directory.ID, string(c.group.Group))
	}
	if err != nil {
		return err
	}
	return c.KeepGroup(ctx, g)
}

// groupMember is a line that is still asked for, and the record that it is about.
type groupMember struct {
	access.Change
	record string
}

// asked ends the lines that are not asked for any more, or are done already, and returns the others.
func (c *groupChange) asked(ctx context.Context, lines []access.Change) (batch []groupMember, err error) {
	moves, err := c.moves(ctx, lines)
	if err != nil {
		return nil, err
	}
	byRecord := map[string]access.Change{}
	var records []string
	var moot, done, already []access.Change
	for n, line := range lines {
		if moves[n] == "" {
			moot = append(moot, line)
			continue
		}
		byRecord[moves[n]] = line
		records = append(records, moves[n])
	}
	in, err := c.Ledger.DirectoryGroupsOf(ctx, c.Org, c.Spec.Directory.ID, records)
	if err != nil {
		return nil, err
	}
	for _, record := range records {
		line, isIn := byRecord[record], slices.Contains(in[record], c.groupID())
		switch {
		case isIn != (c.in.Action == access.Add):
			batch = append(batch, groupMember{line, record})
		case line.State == access.Sent:
			done = append(done, line)
		default:
			already = append(already, line)
		}
	}
	return batch, errors.Join(c.end(ctx, moot, access.Superseded, decidedOtherwise),
		c.end(ctx, done, access.Done, "done by an earlier attempt, found on reading back"),
		c.end(ctx, already, access.Already, "it was so already"))
}

func (c *groupChange) groupID() string {
	if c.group == nil {
		return ""
	}
	return string(c.group.Group)
}

// moves returns, for each line, the record that is to join or leave the group now; "" if nothing asks for that.
func (c *groupChange) moves(ctx context.Context, lines []access.Change) ([]string, error) {
	records := make([]string, len(lines))
	if g, joins := c.group, c.in.Action == access.Add; g == nil || joins && !g.Joins || !joins && !g.Leaves {
		return records, nil
	}
	var refs []ledger.Ref
	place := map[string]int{}
	for n, line := range lines {
		if len(line.Sources) == 0 {
			continue
		}
		if record := session.RecordOfSource(line.Sources[0]); record != "" {
			if consented([]identity.Hold{identity.HoldStrayMember}, line) {
				records[n] = record
			}
			continue
		}
		place[line.Sources[0]] = n
		refs = append(refs, ledger.ReadRef(line.Sources[0]))
	}
	if len(refs) == 0 {
		return records, nil
	}
	people, _, err := c.Candidates(ctx, ledger.Ref{}, refs)
	if err != nil {
		return nil, err
	}
	names := PeopleOf(lines)
	for _, person := range people {
		names = append(names, person.Lead.String())
	}
	states, err := c.Ledger.States(ctx, c.Org, session.EachOnce(names), c.Now().Add(-session.OwnSince))
	if err != nil {
		return nil, err
	}
	for _, person := range people {
		n, known := place[person.Lead.String()]
		if known && c.isAsked(person, lines[n], states) {
			records[n] = string(c.Decide.Resolve(person.Person, c.Now()).Record)
		}
	}
	return records, nil
}

// isAsked reports whether the line is still asked for. An addition is decided as if the person were not in the group,
// and a removal as if they were: whether they are is seen apart from that.
func (c *groupChange) isAsked(person session.Candidate, line access.Change, states map[string]ledger.PersonState) bool {
	var in []identity.GroupID
	if c.in.Action == access.Remove {
		in = []identity.GroupID{c.group.Group}
	}
	own := func(string) bool {
		_, is := session.OwnMembership(line.Target, states[line.Person],
			states[person.Lead.String()])
		return is
	}
	m := c.Decide.Memberships(person.Person, c.Decide.Resolve(person.Person, c.Now()), in, own, c.groups.GroupSet)
	asked := m.Joins
	if c.in.Action == access.Remove {
		asked = m.Leaves
	}
	return slices.ContainsFunc(asked, func(one identity.Membership) bool {
		return access.SameName(one.Name, c.in.Group) && consented(one.Holds, line)
	})
}

// write puts people into the group, or takes them out, and records what became of each. Where the directory takes fewer
// at once, it asks for half of them, and again.
func (c *groupChange) write(ctx context.Context, batch []groupMember) error {
	if len(batch) == 0 {
		return nil
	}
	if c.groupID() == "" {
		return c.end(ctx, changesOf(batch), access.Superseded, "the directory has no such group yet; it is decided again")
	}
	writer, change := scim.NewWriter(c.SCIM), scim.Writer.AddMembers
	if c.in.Action == access.Remove {
		change = scim.Writer.RemoveMembers
	}
	g, err := change(writer, ctx, c.groupID(), recordsOf(batch)...)
	if tooMany(err) && len(batch) > 1 {
		half := len(batch) / 2
		c.result.Limit = half
		return errors.Join(c.write(ctx, batch[:half]), c.write(ctx, batch[half:]))
	}
	if err != nil {
		return c.settle(ctx, changesOf(batch), err)
	}
	return c.record(ctx, batch, g)
}

// tooMany reports whether a write was refused, perhaps for the number of people, or for one of them.
func tooMany(err error) bool { return errors.Is(err, scim.ErrInvalid) }

// record compares the group that an answer shows with what was asked for. What is not stored is no success, whatever
// the answer says.
func (c *groupChange) record(ctx context.Context, batch []groupMember, g scim.Group) error {
	members := map[string]bool{}
	for _, id := range g.MemberIDs {
		members[id] = true
	}
	var stored, kept []access.Change
	var joined, left []string
	for _, one := range batch {
		switch isIn := members[one.record]; {
		case isIn != (c.in.Action == access.Add):
			kept = append(kept, one.Change)
		case isIn:
			joined, stored = append(joined, one.record), append(stored, one.Change)
		default:
			left, stored = append(left, one.record), append(stored, one.Change)
		}
	}
	if err := c.Ledger.MoveDirectoryMembers(ctx, c.Org, c.Spec.Directory.ID, g.ID, joined, left); err != nil {
		return err // the lines stay Sent: the next attempt reads back
	}
	return errors.Join(c.end(ctx, stored, access.Done, "accepted"), c.end(ctx, kept, access.Refused,
		"Atlassian answered that it is done, and the group shows the person as before"))
}

// settle records the API's refusal, or leaves the lines open for the next attempt.
func (c *groupChange) settle(ctx context.Context, lines []access.Change, err error) error {
	tried := "change group " + c.in.Group + " of SCIM directory " + c.Spec.Directory.ID
	switch {
	case errors.Is(err, scim.ErrNotFound):
		return errors.Join(c.Ledger.DirectoryGroupGone(ctx, c.Org, c.Spec.Directory.ID, c.groupID()),
			c.end(ctx, lines, access.Superseded, "the directory changed meanwhile; it is decided again: "+
				session.ErrorText(err)))
	case errors.Is(err, scim.ErrConflict), errors.Is(err, scim.ErrInvalid):
		return c.end(ctx, lines, access.Refused, session.ErrorText(err))
	case outcomeUnknown(err):
		return session.WrapSCIMError(tried, err) // the lines stay Sent
	}
	return c.unsent(ctx, lines, session.WrapSCIMError(tried, err))
}

// outcomeUnknown reports whether a write may have been done.
func outcomeUnknown(err error) bool {
	return errors.Is(err, scim.ErrOutcomeUnknown) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, context.Canceled)
}

func changesOf(batch []groupMember) []access.Change {
	all := make([]access.Change, len(batch))
	for n, one := range batch {
		all[n] = one.Change
	}
	return all
}

func recordsOf(batch []groupMember) []string {
	all := make([]string, len(batch))
	for n, one := range batch {
		all[n] = one.record
	}
	return all
}
