package ledger

import (
	"context"
	"encoding/json"
	"time"

	"github.com/castellan-io/castellan/access"
)

// Run is one observe-to-verify pass over an organization, or a preview of one.
type Run struct {
	Org         string           `json:"org"`
	ID          string           `json:"id"`
	Trigger     string           `json:"trigger"` // what started it
	Scope       string           `json:"scope"`   // what it looked at
	Policy      string           `json:"policy"`  // hash
	By          string           `json:"by,omitempty"`
	DryRun      bool             `json:"dryRun,omitempty"`
	Preview     bool             `json:"preview,omitempty"` // for a question: never in the chain
	State       string           `json:"state"`
	Plan        string           `json:"plan,omitempty"` // hash of its plan
	Started     time.Time        `json:"started"`
	Ended       time.Time        `json:"ended,omitzero"`
	Problem     string           `json:"problem,omitempty"`     // what stopped it, in words
	ProblemKind string           `json:"problemKind,omitempty"` // the type of that error
	Counts      Counts           `json:"counts"`
	Findings    []access.Finding `json:"findings,omitempty"`
}

// Counts are a run's numbers.
type Counts struct {
	People     int `json:"people,omitempty"`     // looked at
	Pages      int `json:"pages,omitempty"`      // of people read
	Calls      int `json:"calls,omitempty"`      // to Atlassian
	Adds       int `json:"adds,omitempty"`       // lines of the plan, by action
	Removals   int `json:"removals,omitempty"`   //
	Adopts     int `json:"adopts,omitempty"`     //
	Updates    int `json:"updates,omitempty"`    //
	Held       int `json:"held,omitempty"`       // lines of the plan that wait for a decision
	Rejected   int `json:"rejected,omitempty"`   // lines that a person rejected
	Suppressed int `json:"suppressed,omitempty"` // changes left out of the plan
	Foreign    int `json:"foreign,omitempty"`    // memberships that nothing in the policy explains
	Done       int `json:"done,omitempty"`       // lines by their final answer
	Already    int `json:"already,omitempty"`    //
	Shortage   int `json:"shortage,omitempty"`   //
	Refused    int `json:"refused,omitempty"`    //
	Failed     int `json:"failed,omitempty"`     //
	Superseded int `json:"superseded,omitempty"` //
	Verified   int `json:"verified,omitempty"`   // changes seen in a later read
	Unverified int `json:"unverified,omitempty"` // changes not seen in a later read
}

// Plus adds up two counts, field by field.
func (c Counts) Plus(d Counts) Counts {
	return Counts{
		People: c.People + d.People, Pages: c.Pages + d.Pages, Calls: c.Calls + d.Calls,
		Adds: c.Adds + d.Adds, Removals: c.Removals + d.Removals, Adopts: c.Adopts + d.Adopts,
		Updates: c.Updates + d.Updates,
		Held:    c.Held + d.Held, Rejected: c.Rejected + d.Rejected, Suppressed: c.Suppressed + d.Suppressed,
		Foreign: c.Foreign + d.Foreign, Done: c.Done + d.Done, Already: c.Already + d.Already,
		Shortage: c.Shortage + d.Shortage, Refused: c.Refused + d.Refused, Failed: c.Failed + d.Failed,
		Superseded: c.Superseded + d.Superseded, Verified: c.Verified + d.Verified,
		Unverified: c.Unverified + d.Unverified,
	}
}

// BeginRun records that a run began. An existing one stays as it is.
func (l *Ledger) BeginRun(ctx context.Context, r Run) error {
	r.Started = orNow(r.Started)
	return l.write(ctx, r.Org, "begin run "+r.ID, func(w *write) error {
		n, err := w.exec(ctx, `INSERT INTO runs (org, id, started_by, scope, policy, by_whom, dry_run, preview, state, plan,
			started, ended, problem, problem_kind, counts, findings) VALUES (`+marks(11)+`, 0, `+marks(4)+`)
			ON CONFLICT (org, id) DO NOTHING`,
			r.Org, r.ID, r.Trigger, r.Scope, r.Policy, r.By, flag(r.DryRun), flag(r.Preview), r.State, r.Plan,
			instant(r.Started), r.Problem, r.ProblemKind, text(r.Counts), list(r.Findings))
		if err != nil || n == 0 {
			return err
		}
		// By now, what the pages of ended runs counted is in those runs' own counts.
		for _, table := range []string{"pages", "rereads"} {
			if _, err := w.exec(ctx, `DELETE FROM `+table+
				` WHERE org = ? AND run IN (SELECT id FROM runs WHERE org = ? AND ended > 0)`,
				r.Org, r.Org); err != nil {
				return err
			}
		}
		if r.Preview {
			return nil
		}
		return w.append(ctx, Entry{At: r.Started, Kind: EntryRunBegun, Run: r.ID, Body: body(map[string]any{
			"trigger": r.Trigger, "scope": r.Scope, "policy": r.Policy, "by": r.By, "dryRun": r.DryRun,
		})})
	})
}

// UpdateRun updates a run in progress: State, Plan, Counts and Findings. A run that has ended, or was never begun,
// stays as it is.
func (l *Ledger) UpdateRun(ctx context.Context, r Run) error {
	return l.write(ctx, r.Org, "update run "+r.ID, func(w *write) error {
		_, err := w.exec(ctx, `UPDATE runs SET state = ?, plan = ?, counts = ?, findings = ? WHERE org = ? AND id = ? AND ended = 0`,
			r.State, r.Plan, text(r.Counts), list(r.Findings), r.Org, r.ID)
		return err
	})
}

// EndRun records how a run ended: State, Plan, Ended, Problem, Counts and Findings; the rest of r is ignored. Ending it
// again with the same outcome does nothing. ErrNotFound: it was never begun.
func (l *Ledger) EndRun(ctx context.Context, r Run) error {
	r.Ended, r.Problem = orNow(r.Ended), clean(r.Problem)
	return l.write(ctx, r.Org, "end run "+r.ID, func(w *write) error {
		was, err := first(ctx, w.database, scanRun, selectRun+` WHERE org = ? AND id = ?`, r.Org, r.ID)
		if err != nil {
			return err
		}
		if !was.Ended.IsZero() && was.State == r.State && was.Plan == r.Plan && was.Problem == r.Problem &&
			was.ProblemKind == r.ProblemKind && was.Counts == r.Counts && text(was.Findings) == text(r.Findings) {
			return nil
		}
		if _, err := w.exec(ctx, `UPDATE runs SET state = ?, plan = ?, ended = ?, problem = ?, problem_kind = ?, counts = ?,
			findings = ? WHERE org = ? AND id = ?`,
			r.State, r.Plan, instant(r.Ended), r.Problem, r.ProblemKind, text(r.Counts), list(r.Findings),
			r.Org, r.ID); err != nil {
			return err
		}
		if was.Preview {
			return nil
		}
		ended := map[string]any{"state": r.State, "plan": r.Plan, "problem": r.Problem, "counts": r.Counts}
		if r.ProblemKind != "" {
			ended["problemKind"] = r.ProblemKind
		}
		return w.append(ctx, Entry{At: r.Ended, Kind: EntryRunEnded, Run: r.ID, Body: body(ended)})
	})
}

const selectRun = `SELECT org, id, started_by, scope, policy, by_whom, dry_run, preview, state, plan, started, ended,
	problem, problem_kind, counts, findings FROM runs`

func scanRun(row scanner) (r Run, err error) {
	var started, ended int64
	var counts, findings string
	if err := row.Scan(&r.Org, &r.ID, &r.Trigger, &r.Scope, &r.Policy, &r.By, &r.DryRun, &r.Preview, &r.State, &r.Plan,
		&started, &ended, &r.Problem, &r.ProblemKind, &counts, &findings); err != nil {
		return r, err
	}
	r.Started, r.Ended = fromInstant(started), fromInstant(ended)
	if err := json.Unmarshal([]byte(counts), &r.Counts); err != nil {
		return r, err
	}
	r.Findings, err = fromList[access.Finding](findings)
	return r, err
}

// Run returns one run, or ErrNotFound.
func (l *Ledger) Run(ctx context.Context, org, id string) (Run, error) {
	r, err := first(ctx, l.reads, scanRun, selectRun+` WHERE org = ? AND id = ?`, org, id)
	return r, reading(err, "run "+id, org)
}

// Runs returns at most limit runs (1,000 for 0), newest first; with before, the ones that began before that run.
func (l *Ledger) Runs(ctx context.Context, org string, limit int, before string) ([]Run, error) {
	where, args := ` WHERE org = ?`, []any{org}
	if before != "" {
		where += ` AND (started, id) < (SELECT started, id FROM runs WHERE org = ? AND id = ?)`
		args = append(args, org, before)
	}
	all, err := collect(ctx, l.reads, scanRun, selectRun+where+` ORDER BY started DESC, id DESC LIMIT ?`,
		append(args, atMost(limit))...)
	return all, reading(err, "the runs", org)
}
