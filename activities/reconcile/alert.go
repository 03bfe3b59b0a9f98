package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// NoticeAlert notifies watchers of something that a full verification noticed for the first time, and of held plans.
const NoticeAlert = "alert"

// alerts are the findings that somebody should hear of without looking.
var alerts = []string{"too-many-holders", "admin-by-hand", "given-back", "domain-gone", "source-suspect",
	"source-recreated", "grant-restored", "grant-unexplained", "key-expires", "name-unknown", "name-unexplained",
	"approver-unknown", "group-conflict", "group-accepted-otherwise", "group-lost", "group-renamed"}

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

// holdsKind is the kind of reports, one for access and one for each provision, which say of what held plan watchers
// were notified last.
const holdsKind = "alerts-hold"

// alertHold notifies watchers of the plan that a run left held, once: when something is held that was not, and, after
// runs over everybody, when it is another plan by now. If that fails, it is repeated after the next run: this one does
// not fail.
func (a *Activities) alertHold(ctx context.Context, in FinishInput, sum messages.RunSummary) error {
	everybody := in.Scope == messages.ScopeFull || in.Scope == messages.ScopeProvision
	kind := strings.TrimSuffix(holdsKind+" "+sum.Provision, " ")
	told, err := a.toldHold(ctx, in.Org, kind)
	if err != nil {
		return err
	}
	plan := ""
	switch {
	case in.Preview, sum.DryRun, sum.State != messages.RunDone, in.Scope == messages.ScopeHold:
		return nil
	case sum.Hold != nil:
		plan = sum.Hold.Plan
	case !everybody:
		return nil
	}
	if plan == told || plan != "" && told != "" && !everybody {
		return nil
	}
	if plan != "" {
		brief, cancel := context.WithTimeout(ctx, alertFor)
		defer cancel()
		if err := a.env.Notifier.Notify(brief, holdNotice(in.Org, *sum.Hold)); err != nil {
			activity.GetLogger(ctx).Warn("a held plan was not told; it is after the next run", "run", in.Run, "error", err)
			return nil
		}
	}
	return a.env.Ledger.SaveReport(ctx, in.Org,
		ledger.StoredReport{Kind: kind, ID: kind, At: a.env.Now(), Body: []byte(plan)}, 1)
}

// toldHold returns the held plan that watchers were notified of last; "" if nothing has been held since.
func (a *Activities) toldHold(ctx context.Context, org, kind string) (plan string, err error) {
	stored, err := a.env.Ledger.Report(ctx, org, kind, kind)
	if errors.Is(err, ledger.ErrNotFound) {
		return "", nil
	}
	return string(stored.Body), err
}

func holdNotice(org string, h messages.Hold) messages.Notice {
	n := messages.Notice{ID: "hold " + org + " " + h.Plan, Kind: NoticeAlert, Org: org, At: h.Opened,
		Subject: "A plan is held in " + org, Workflow: messages.OrgSyncID(org), Command: display.Starter("status", org).String()}
	what := fmt.Sprintf("%d adds, %d removals, %d adoptions for %d people", h.Adds, h.Removals, h.Adopts, h.People)
	if h.Provision != "" {
		n.Subject = "A plan of provision " + h.Provision + " is held in " + org
		what = fmt.Sprintf("%d additions, %d updates and %d removals, of records and memberships", h.Adds, h.Updates, h.Removals)
	}
	n.Text = strings.Join(append([]string{what + ": plan " + h.Plan + " waits until a person approves or rejects it."},
		h.Rules...), "\n")
	return n
}
