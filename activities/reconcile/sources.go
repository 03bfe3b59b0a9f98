package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/source"
)

// refusedLately is for how long refused posts of a source are reported.
const refusedLately = 24 * time.Hour

// awaitSources reports the sources that have never been read completely, and whether there are any: what they will give
// belongs to the first plan, so that an empty one is no consent yet. A source that posts may have nothing to say for
// long, and is not waited for.
func (j *judgement) awaitSources(ctx context.Context) (awaited bool, err error) {
	for _, one := range j.Policy.Sources {
		if one.Kind.Pushed() {
			continue
		}
		known, err := j.Ledger.Source(ctx, j.Org, one.Name)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return false, err
		}
		if known.Read == 0 {
			awaited = true
			j.findings = append(j.findings, access.Finding{Rule: "first-plan-waits", Subject: "source " + one.Name,
				Detail: "it has never been read completely, so the first plan, which has no changes without it, is not complete; nothing is written until the source is read, or is taken out of the policy"})
		}
	}
	return awaited, nil
}

// doubtSources notes which identity sources prove nothing about who has left. Whether the chain explains who their
// people are is asked where that could take something from somebody, and in each full verification.
func (j *judgement) doubtSources(ctx context.Context) (err error) {
	if j.stats.Doubted, err = j.DoubtedSources(ctx); err != nil || !j.full && j.stats.Total().Removals == 0 {
		return err
	}
	unexplained, err := j.UnexplainedSources(ctx)
	if err == nil && j.full { // else people are looked at one by one, and nothing is taken from those
		var posts []plan.DoubtedSource
		if posts, err = j.UnexplainedPosts(ctx); err == nil {
			err = j.reportPosts(ctx)
		}
		unexplained = append(unexplained, posts...)
	}
	for _, d := range unexplained {
		j.findings = append(j.findings, access.Finding{Rule: "identity-unexplained", Subject: "source " + d.Name,
			Detail: d.Why + ". The source gives them nothing, and nothing that depends on it is taken from anyone"})
	}
	j.stats.Doubted = append(j.stats.Doubted, unexplained...)
	return err
}

// reportPosts reports sources that should post and do not, or that post what is refused. Nobody loses anything by that.
func (j *judgement) reportPosts(ctx context.Context) error {
	for _, spec := range j.Policy.Sources {
		if !spec.Kind.Pushed() {
			continue
		}
		known, err := j.Ledger.Source(ctx, j.Org, spec.Name)
		if err != nil {
			return err
		}
		if last := known.Posted; !last.IsZero() && j.Now().Sub(last) > spec.Quiet.Std() {
			j.findings = append(j.findings, access.Finding{Rule: "feed-quiet", Subject: "source " + spec.Name,
				Detail: fmt.Sprintf("it posted last at %s, more than %s ago (sources.quiet)", session.Timestamp(last), spec.Quiet)})
		}
		if known.Refused > 0 && j.Now().Sub(known.RefusedAt) < refusedLately {
			j.findings = append(j.findings, access.Finding{Rule: "feed-refused", Subject: "source " + spec.Name,
				Detail: fmt.Sprintf("%d of its posts were refused, the last at %s: %s", known.Refused,
					session.Timestamp(known.RefusedAt), known.RefusedCode)})
		}
	}
	return nil
}

// reportCycles reports groups of sources that contain each other. They come last: nothing is wrong with what is
// written, and there may be so many that a summary would show little else.
func (j *judgement) reportCycles(ctx context.Context) error {
	if len(j.Policy.Sources) == 0 {
		return nil
	}
	known, err := j.Ledger.Sources(ctx, j.Org)
	if err != nil {
		return err
	}
	for _, s := range known {
		if j.Policy.Source(s.Name) == nil {
			continue
		}
		for n, cycle := range s.Cycles {
			detail := strings.Join(append(slices.Clone(cycle), cycle[0]), " → ")
			if len(cycle) == 1 {
				detail += ": the group is in itself; take it out in the directory"
			} else {
				detail += ": each has the members of all; take one out of the other in the directory"
			}
			if n == source.MaxCycles-1 {
				detail += fmt.Sprintf(". There may be more than these %d", source.MaxCycles)
			}
			j.findings = append(j.findings, access.Finding{Rule: "group-cycle", Subject: "source " + s.Name,
				Detail: detail})
		}
	}
	return nil
}
