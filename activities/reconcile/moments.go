package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
)

// moments are findings about what happened, rather than about how things are. Only the run that sees one reports it, so
// it is shown for a day.
var moments = []string{"source-recreated"}

const (
	momentsKind = "moments" // of reports
	momentFor   = 24 * time.Hour
)

// moment is such a finding, and when a run first saw it.
type moment struct {
	access.Finding
	At time.Time `json:"at"`
}

func (m moment) is(f access.Finding) bool { return m.Rule == f.Rule && m.Subject == f.Subject }

// recent returns the moments of the last day that are not among the findings of a run.
func (a *Activities) recent(ctx context.Context, org string, now []access.Finding) ([]access.Finding, error) {
	kept, err := a.keptMoments(ctx, org)
	var more []access.Finding
	for _, m := range kept {
		if !slices.ContainsFunc(now, m.is) {
			more = append(more, m.Finding)
		}
	}
	return more, err
}

func (a *Activities) keptMoments(ctx context.Context, org string) (kept []moment, err error) {
	stored, err := a.env.Ledger.Report(ctx, org, momentsKind, momentsKind)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(stored.Body, &kept)
	}
	return slices.DeleteFunc(kept, func(m moment) bool { return a.env.Now().Sub(m.At) >= momentFor }), err
}

// keepMoments stores what a run saw and the next will not.
func (a *Activities) keepMoments(ctx context.Context, run ledger.Run) error {
	kept, err := a.keptMoments(ctx, run.Org)
	if err != nil {
		return err
	}
	before := len(kept)
	for _, f := range run.Findings {
		if slices.Contains(moments, f.Rule) && !slices.ContainsFunc(kept, func(m moment) bool { return m.is(f) }) {
			kept = append(kept, moment{f, a.env.Now()})
		}
	}
	if len(kept) == before {
		return nil
	}
	body, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return a.env.Ledger.SaveReport(ctx, run.Org,
		ledger.StoredReport{Kind: momentsKind, ID: momentsKind, At: a.env.Now(), Body: body}, 1)
}
