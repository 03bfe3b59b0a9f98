package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// NoticeAlert notifies watchers of something that a full verification noticed for the first time.
const NoticeAlert = "alert"

// alerts are the findings that somebody should hear of without looking.
var alerts = []string{"too-many-holders", "admin-by-hand", "given-back", "domain-gone", "source-suspect",
	"source-recreated", "grant-restored", "grant-unexplained", "key-expires", "name-unknown", "name-unexplained",
	"approver-unknown"}

const (
	alertsKind = "alerts" // of reports: which findings were notified already
	alertFor   = 10 * time.Second
)

// alert notifies watchers of findings that were not there at the last full verification. A recurring one is notified
// again. If that fails, it is repeated after the next one: the run does not fail.
func (a *Activities) alert(ctx context.Context, run ledger.Run) error {
	var now []string
	fresh := []access.Finding{}
	told, err := a.alreadyTold(ctx, run.Org)
	if err != nil {
		return err
	}
	for _, f := range run.Findings {
		if !slices.Contains(alerts, f.Rule) {
			continue
		}
		key := f.Rule + " " + f.Subject
		now = append(now, key)
		if !slices.Contains(told, key) {
			fresh = append(fresh, f)
		}
	}
	if len(fresh) > 0 {
		brief, cancel := context.WithTimeout(ctx, alertFor)
		defer cancel()
		err := a.env.Notifier.Notify(brief, messages.Notice{
			ID: "alert " + run.Org + " " + run.ID, Kind: NoticeAlert, Org: run.Org, At: a.env.Now(),
			Subject: "Noticed in " + run.Org,
			Text:    strings.Join(access.Summarize(fresh, 20), "\n"), Workflow: messages.OrgSyncID(run.Org),
		})
		if err != nil {
			activity.GetLogger(ctx).Warn("an alert was not told; it is after the next full verification", "run", run.ID,
				"error", err)
			return nil
		}
	}
	if slices.Equal(now, told) {
		return nil
	}
	body, err := json.Marshal(now)
	if err != nil {
		return err
	}
	return a.env.Ledger.SaveReport(ctx, run.Org,
		ledger.StoredReport{Kind: alertsKind, ID: alertsKind, At: a.env.Now(), Body: body}, 1)
}

func (a *Activities) alreadyTold(ctx context.Context, org string) (told []string, err error) {
	stored, err := a.env.Ledger.Report(ctx, org, alertsKind, alertsKind)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return told, json.Unmarshal(stored.Body, &told)
}
