package provisioning

import (
	"context"
	"errors"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/ledger"
)

// VerifyResult counts the changes that a later read shows.
type VerifyResult struct {
	Verified   int `json:"verified"`
	Unverified int `json:"unverified"`
	Calls      int `json:"calls"`
	// Findings name whom the read-back shows otherwise than they should be, in a few lines; Reported counts them.
	Findings []string `json:"findings,omitempty"`
	Reported int      `json:"reported,omitempty"`
}

// VerifyRecords reads the records that the run wrote once more, compares them, and stores the states that their people
// have now. Of those that were deactivated or reactivated, it reads the accounts too. A repeat reads again.
//
// Calls: one for each record; where that were more than the pages of the directory, those, and one for each record that
// they do not show; one for up to a hundred accounts that were deactivated, one for ten that were reactivated, and one
// for ten groups of each of these that can use no app; and those of verifyGroups.
func (a *Activities) VerifyRecords(ctx context.Context, in RunInput) (VerifyResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.env.Open(ctx, in.Org, in.Policy)
	if err != nil {
		return VerifyResult{}, err
	}
	p, err := s.OpenProvision(ctx, in.Provision)
	if err != nil {
		return VerifyResult{}, err
	}
	v := &verification{Provisioner: p, run: in.Run, shown: map[string]bool{}}
	unread := 0
	if err := v.eachLines(ctx, func(_ context.Context, some []writtenRecord) error {
		for _, w := range some {
			v.shown[w.id] = false
		}
		unread += len(some)
		return nil
	}); err != nil {
		return VerifyResult{}, err
	}
	if err := v.readPages(ctx, unread); err != nil {
		return VerifyResult{}, session.WrapSCIMError("read back records of SCIM directory "+p.Spec.Directory.ID, err)
	}
	v.result = VerifyResult{}
	if err = v.eachLines(ctx, v.compare); err != nil {
		return v.result, err
	}
	findings, err := v.accounts(ctx)
	if err == nil {
		var ofGroups []access.Finding
		ofGroups, err = v.verifyGroups(ctx)
		findings = append(findings, ofGroups...)
	}
	v.result.Findings, v.result.Reported = access.Summarize(findings, 20), len(findings)
	v.result.Calls = s.CallsMade()
	return v.result, err
}

type verification struct {
	*session.Provisioner
	run       string
	shown     map[string]bool // the records that were written, by id: whether the pages have shown them
	leavers   []linkedChange  // whose accounts are to be read
	returners []linkedChange  // likewise
	result    VerifyResult
}

// writtenRecord is a line that was done, and whose and which record it is about.
type writtenRecord struct {
	line access.Change
	ref  ledger.Ref
	id   string
}

// eachLines visits the lines that were done and not seen so since, some at a time.
func (v *verification) eachLines(ctx context.Context, do func(context.Context, []writtenRecord) error) error {
	filter := ledger.Filter{States: []access.ChangeState{access.Done}, Limit: session.LinesAtOnce}
	for {
		lines, err := v.Ledger.Lines(ctx, v.Org, v.run, filter)
		if err != nil {
			return err
		}
		var some []writtenRecord
		var refs []ledger.Ref
		for _, c := range lines {
			if access.RecordOf(c.Target) == "" {
				continue // of groups: see verifyGroups
			}
			if c.Verified {
				v.result.Verified++
			} else if len(c.Sources) > 0 {
				some = append(some, writtenRecord{line: c, ref: ledger.ReadRef(c.Sources[0])})
				refs = append(refs, ledger.ReadRef(c.Sources[0]))
			}
		}
		bound, err := v.Ledger.Bindings(ctx, v.Org, v.Spec.Name, refs)
		if err != nil {
			return err
		}
		for n, w := range some {
			some[n].id = bound[w.ref].Record
		}
		if err := do(ctx, some); err != nil {
			return err
		}
		activity.RecordHeartbeat(ctx, v.result)
		if len(lines) < session.LinesAtOnce {
			return nil
		}
		filter.After = session.KeyOf(lines[len(lines)-1])
	}
}

// readPages reads the whole directory, if that takes fewer calls than so many records by their ids.
func (v *verification) readPages(ctx context.Context, records int) error {
	directory := v.Spec.Directory.ID
	last, err := v.Ledger.Directory(ctx, v.Org, directory)
	if err != nil || records <= (last.People+records)/scim.MaxPage+1 {
		return err
	}
	known, err := v.Ledger.RecordDigests(ctx, v.Org, directory)
	if err != nil {
		return err
	}
	for start := 1; start > 0; {
		page, err := v.SCIM.Users(ctx, scim.UserQuery{Start: start, Count: scim.MaxPage})
		if err != nil {
			return err
		}
		var changed []ledger.Record
		for _, user := range page.Items {
			if _, written := v.shown[user.ID]; !written {
				continue
			}
			v.shown[user.ID] = true
			if row := session.RecordOf(user); known[row.ID] != row.Digest {
				changed = append(changed, row)
			}
		}
		if err := v.Ledger.SaveRecords(ctx, v.Org, directory, 0, changed, v.Now()); err != nil {
			return err
		}
		activity.RecordHeartbeat(ctx, v.result)
		start = page.Next
	}
	return nil
}

// compare compares records, as they were just read, with what their lines say.
func (v *verification) compare(ctx context.Context, some []writtenRecord) error {
	gone := map[string]bool{}
	var ids []string
	for _, w := range some {
		if !v.shown[w.id] {
			there, err := v.readRecord(ctx, w.id)
			if err != nil {
				return session.WrapSCIMError("read back "+w.line.Label(), err)
			}
			gone[w.id] = !there
		}
		ids = append(ids, w.id)
	}
	found, err := v.Ledger.FindRecords(ctx, v.Org, v.Spec.Directory.ID, ledger.RecordQuery{IDs: ids})
	if err != nil {
		return err
	}
	records := map[string]ledger.Record{}
	for _, r := range found {
		records[r.ID] = r
	}
	var verified []access.Change
	var refs []ledger.Ref
	for _, w := range some {
		record, there := records[w.id]
		if there = there && !gone[w.id]; there {
			refs = append(refs, w.ref)
		}
		if !there || session.Lacks(w.line.Edits, record) != "" {
			v.result.Unverified++
			continue
		}
		if v.asksAccount(w.line, record.Account) {
			continue
		}
		v.result.Verified++
		verified = append(verified, w.line)
	}
	if err := v.restate(ctx, refs); err != nil {
		return err
	}
	return v.Ledger.Verified(ctx, v.Org, v.run, verified)
}

// readRecord reads a record by its id; false: there is none.
func (v *verification) readRecord(ctx context.Context, id string) (there bool, err error) {
	user, err := v.SCIM.User(ctx, id)
	if errors.Is(err, scim.ErrNotFound) || errors.Is(err, scim.ErrInvalid) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	activity.RecordHeartbeat(ctx, v.result)
	return true, v.Keep(ctx, user)
}

// restate stores the states of people whose records were written: they were decided before that.
func (v *verification) restate(ctx context.Context, refs []ledger.Ref) error {
	for _, some := range session.Chunks(refs, session.LinesAtOnce/2) {
		people, _, err := v.Candidates(ctx, ledger.Ref{}, some)
		if err != nil {
			return err
		}
		var states []ledger.ProvisionedState
		for _, c := range people {
			states = append(states, stateOf(c, v.Decide.Resolve(c.Person, v.Now())))
		}
		if err := v.Ledger.SetPersonStates(ctx, v.Org, v.Spec.Name, v.run, states); err != nil {
			return err
		}
	}
	return nil
}
