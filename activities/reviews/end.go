package reviews

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	evidencepack "github.com/castellan-io/castellan/evidence"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// ReviewEndInput ends a review.
type ReviewEndInput struct {
	ReviewInput
	State access.ReviewState `json:"state"`
	Bare  bool               `json:"bare,omitempty"` // end it without evidence if that cannot be made now
}

// evidencePiece is how many bytes of a pack one row has; only a line that is several times as long is cut.
const evidencePiece = 256 << 10

// eventsAtOnce is how many entries of a review's log are in memory.
const eventsAtOnce = 2000

// bareFrom is the attempt from which a review may end without evidence.
const bareFrom = 3

// ReviewEnd makes the evidence of a review that is over, stores it, and makes the review's state final, with the head
// of the evidence in the organization's chain. A repeat makes it again, until the state is final. A review whose
// evidence cannot be made in several attempts ends all the same, with a finding.
func (a *Activities) ReviewEnd(ctx context.Context, in ReviewEndInput) (access.Review, error) {
	defer session.AutoHeartbeat(ctx)()
	in.Bare = in.Bare && activity.GetInfo(ctx).Attempt >= bareFrom // a temporary error may pass
	r, _, err := a.campaignOf(ctx, in.ReviewInput)
	if err != nil && in.Bare && r.ID != "" && ctx.Err() == nil {
		return a.endBare(ctx, in, err)
	}
	if err != nil || r.State.Final() {
		return r, err
	}
	if r.Items == 0 && in.State == access.ReviewSkipped {
		return a.env.Ledger.EndReview(ctx, in.Org, in.Review, in.State, "", 0, a.env.Now())
	}
	p, err := a.env.WrittenPolicy(ctx, in.Org, r.Policy)
	if err != nil {
		return r, err
	}
	campaign, _ := p.Review(r.Campaign)
	said, err := json.Marshal(campaign)
	if err != nil {
		return r, err
	}
	now := a.env.Now()
	seal, err := a.makeEvidence(ctx, in,
		evidencepack.Head{Org: in.Org, Campaign: said, Policy: r.Policy, Made: now, Castellan: a.env.Version})
	var content *evidencepack.ContentError
	switch {
	case err != nil && ctx.Err() == nil && (in.Bare || errors.As(err, &content)):
		return a.endBare(ctx, in, err)
	case err != nil:
		return r, err
	}
	if _, err := evidencepack.Verify(&evidenceReader{ctx: ctx, ledger: a.env.Ledger, in: in.ReviewInput}); err != nil {
		activity.GetLogger(ctx).Error("the evidence is inconsistent; it is kept as it is", "review",
			in.Review, "error", err)
		if err := a.findReview(ctx, in.ReviewInput,
			"the evidence is inconsistent: "+session.ErrorText(err)); err != nil {
			return r, err
		}
	}
	return a.env.Ledger.EndReview(ctx, in.Org, in.Review, in.State, seal.Head, seal.Lines, now)
}

// makeEvidence makes the evidence of a review as it is now, and stores it.
func (a *Activities) makeEvidence(ctx context.Context, in ReviewEndInput, head evidencepack.Head) (evidencepack.Seal,
	error) {
	rows, err := a.env.Ledger.VerifyReview(ctx, in.Org, in.Review,
		func(seq int64) { activity.RecordHeartbeat(ctx, seq) })
	if err != nil {
		return evidencepack.Seal{}, err
	}
	if head.Review, err = a.keepUnexplained(ctx, in.ReviewInput, rows); err != nil {
		return evidencepack.Seal{}, err
	}
	head.Review.State, head.Review.Ended = in.State, head.Made
	pieces := &pieces{save: func(n int, body string) error {
		activity.RecordHeartbeat(ctx, n)
		return a.env.Ledger.SaveEvidence(ctx, in.Org, in.Review, n, body)
	}}
	return a.writeEvidence(ctx, in.ReviewInput, pieces, head)
}

// keepUnexplained records in the review, and so in its evidence, which of its rows the chain does not explain.
func (a *Activities) keepUnexplained(ctx context.Context, in ReviewInput, rows ledger.RowsCheck) (access.Review,
	error) {
	var names []string
	for _, row := range rows.First {
		names = append(names, row.String())
	}
	if n := rows.Unexplained - int64(len(names)); n > 0 {
		names = append(names, fmt.Sprintf("and %d more", n))
	}
	if len(names) > 0 {
		activity.GetLogger(ctx).Error(
			"the ledger's chain does not explain all rows of the review; its evidence names them", "review", in.Review,
			"rows", rows.Unexplained)
	}
	return a.env.Ledger.ChangeReview(ctx, in.Org, in.Review, func(r *access.Review) bool {
		changed := !slices.Equal(r.Unexplained, names)
		r.Unexplained = names
		return changed
	})
}

// endBare ends a review without evidence, and records why.
func (a *Activities) endBare(ctx context.Context, in ReviewEndInput, why error) (access.Review, error) {
	activity.GetLogger(ctx).Error("the evidence cannot be made; the review ends without it", "review", in.Review,
		"error", why)
	if err := a.findReview(ctx, in.ReviewInput, "its evidence could not be made: "+session.ErrorText(why)); err != nil {
		return access.Review{}, err
	}
	return a.env.Ledger.EndReview(ctx, in.Org, in.Review, in.State, "", 0, a.env.Now())
}

// findReview adds to the findings of a review.
func (a *Activities) findReview(ctx context.Context, in ReviewInput, found string) error {
	found = display.Shorten(found, mostFinding)
	_, err := a.env.Ledger.ChangeReview(ctx, in.Org, in.Review, func(is *access.Review) bool {
		if slices.Contains(is.Findings, found) {
			return false
		}
		is.Findings = append(is.Findings, found)
		return true
	})
	return err
}

// mostFinding limits one finding of a review, in bytes.
const mostFinding = 1000

// writeEvidence writes the pack: the review, its items, its log.
func (a *Activities) writeEvidence(ctx context.Context, in ReviewInput, to *pieces,
	head evidencepack.Head) (evidencepack.Seal, error) {
	w, err := evidencepack.NewWriter(to, head)
	if err != nil {
		return evidencepack.Seal{}, err
	}
	filter := ledger.ItemFilter{Limit: settleAtOnce}
	// one that was cancelled while it opened has items without numbers: nobody was asked about them
	for head.Review.Items > 0 {
		some, err := a.env.Ledger.Items(ctx, in.Org, in.Review, filter)
		if err != nil {
			return evidencepack.Seal{}, err
		}
		for _, i := range some {
			filter.After = i.N
			if err := w.Item(i); err != nil {
				return evidencepack.Seal{}, err
			}
		}
		if len(some) < settleAtOnce {
			break
		}
	}
	for after := 0; ; {
		some, err := a.env.Ledger.ReviewEvents(ctx, in.Org, in.Review, after, eventsAtOnce)
		if err != nil {
			return evidencepack.Seal{}, err
		}
		for _, e := range some {
			after = e.Seq
			if err := w.Event(e); err != nil {
				return evidencepack.Seal{}, err
			}
		}
		if len(some) < eventsAtOnce {
			break
		}
	}
	seal, err := w.Close()
	if err != nil {
		return seal, err
	}
	return seal, to.flush()
}

// pieces splits what is written into pieces of whole lines.
type pieces struct {
	buffer bytes.Buffer
	n      int
	save   func(n int, body string) error
}

func (p *pieces) Write(data []byte) (int, error) {
	p.buffer.Write(data)
	if p.buffer.Len() < evidencePiece {
		return len(data), nil
	}
	for p.buffer.Len() >= evidencePiece {
		whole := bytes.LastIndexByte(p.buffer.Bytes(), '\n') + 1
		if whole == 0 || whole > 2*evidencePiece { // a line that is too long for one answer
			for whole = evidencePiece; !utf8.RuneStart(p.buffer.Bytes()[whole-1]); {
				whole--
			}
			whole--
		}
		body := string(p.buffer.Next(whole))
		p.n++
		if err := p.save(p.n-1, body); err != nil {
			return len(data), err
		}
	}
	return len(data), nil
}

func (p *pieces) flush() error {
	if p.buffer.Len() == 0 {
		return nil
	}
	p.n++
	return p.save(p.n-1, p.buffer.String())
}

// evidenceReader reads a pack from the ledger, piece by piece.
type evidenceReader struct {
	ctx    context.Context
	ledger *ledger.Ledger
	in     ReviewInput
	piece  int
	over   bool
	rest   []byte
}

func (e *evidenceReader) Read(into []byte) (int, error) {
	for len(e.rest) == 0 {
		if e.over {
			return 0, io.EOF
		}
		body, more, err := e.ledger.Evidence(e.ctx, e.in.Org, e.in.Review, e.piece)
		if err != nil {
			return 0, err
		}
		e.piece, e.over, e.rest = e.piece+1, !more, []byte(body)
	}
	n := copy(into, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// Questions returns the questions about reviews, by the kind of report.
func (a *Activities) Questions() map[string]session.Question {
	return map[string]session.Question{
		messages.ReportReviews:  a.reviews,
		messages.ReportReview:   a.reviewItems,
		messages.ReportEvidence: a.reviewEvidence,
	}
}

// reviewEvidence returns one piece of a review's evidence.
func (a *Activities) reviewEvidence(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	r, _, err := a.campaignOf(ctx, ReviewInput{Org: in.Org, Review: in.ID})
	if err != nil {
		return err
	}
	if !r.State.Final() {
		return session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("review %s is %s: its evidence is made when it is over", r.ID, r.State))
	}
	if explained, err := a.env.Ledger.ReviewExplained(ctx, in.Org, r.ID); err != nil {
		return err
	} else if !explained {
		return session.NonRetryable(session.ErrEvidence,
			fmt.Errorf("the ledger's chain does not explain review %s as it is now: it was not written by Castellan, nor was the head of its evidence; `starter verify-ledger %s` names all such rows", r.ID, in.Org))
	}
	piece := 0
	if in.After != "" {
		if piece, err = strconv.Atoi(in.After); err != nil {
			return session.NonRetryable(session.ErrUnknown, fmt.Errorf("%q is no place in a document", in.After))
		}
	}
	answer.Evidence = &messages.Evidence{Review: r.ID, Lines: r.Lines, Head: r.Head}
	body, more, err := a.env.Ledger.Evidence(ctx, in.Org, r.ID, piece)
	if errors.Is(err, ledger.ErrNotFound) {
		return session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("review %s has no evidence: %s", r.ID,
				cmp.Or(strings.Join(r.Findings, "; "), "there was nothing to review")))
	}
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write([]byte(body)); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	answer.Evidence.Document = packed.Bytes()
	answer.Message = fmt.Sprintf("review %s: %d lines of evidence, head %s", r.ID, r.Lines, r.Head)
	if more {
		answer.Next = strconv.Itoa(piece + 1)
	}
	return nil
}

// reviews lists reviews, the newest first.
func (a *Activities) reviews(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	all, err := a.env.Ledger.Reviews(ctx, in.Org, in.Campaign, in.After, in.Limit)
	if err != nil {
		return err
	}
	for _, r := range all {
		r.Holders, r.Findings = nil, nil
		c, err := a.env.Ledger.CountReview(ctx, in.Org, r.ID)
		if err != nil {
			return err
		}
		answer.Reviews = append(answer.Reviews,
			messages.ListedReview{Review: r, Decided: c.Verdicts[access.VerdictKeep] + c.Verdicts[access.VerdictRemove],
				Outcomes: c.Outcomes})
	}
	if len(all) == in.Limit {
		answer.Next = all[len(all)-1].ID
	}
	answer.Message = session.CountOf(len(all), "review", "reviews")
	return nil
}

// mostListed limits the items of one answer, which goes through a history and has at most 2 MB.
const mostListed = 500

// reviewItems lists the items of a review, of all or of one reviewer.
func (a *Activities) reviewItems(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	r, _, err := a.campaignOf(ctx, ReviewInput{Org: in.Org, Review: in.ID})
	if err != nil {
		return err
	}
	filter := ledger.ItemFilter{Limit: min(in.Limit, mostListed), Undecided: in.Open}
	if in.Target != "" {
		if filter.Target, err = a.env.LiveTarget(ctx, in.Org, in.Target); err != nil {
			return err
		}
	}
	if in.After != "" {
		if filter.After, err = strconv.Atoi(in.After); err != nil {
			return session.NonRetryable(session.ErrUnknown, fmt.Errorf("%q is not an item's number", in.After))
		}
	}
	for _, state := range in.States {
		filter.Outcomes = append(filter.Outcomes, access.Outcome(state))
	}
	if in.By != "" {
		who, err := a.env.LookUpAccount(ctx, in.Org, in.By)
		if err != nil {
			return err
		}
		filter.Reviewer, filter.Stage = []string{who.ID}, r.Stage
		if err := a.env.Ledger.SeenReview(ctx, in.Org, r.ID, who, "command", a.env.Now(), SeenEvery); err != nil {
			return err
		}
	}
	if in.Person != "" {
		p, err := a.env.LookUpAccount(ctx, in.Org, in.Person)
		if err != nil {
			return err
		}
		filter.Person = p.ID
	}
	items, err := a.env.Ledger.Items(ctx, in.Org, r.ID, filter)
	if err != nil {
		return err
	}
	progress, err := a.ReviewProgress(ctx, ReviewInput{Org: in.Org, Review: r.ID})
	if err != nil {
		return err
	}
	answer.Items, answer.Review = items, &messages.ReviewStatus{Review: r, Phase: string(r.State), Progress: progress,
		NextAt: time.Time{}}
	if len(items) == filter.Limit {
		answer.Next = strconv.Itoa(items[len(items)-1].N)
	}
	answer.Message = fmt.Sprintf("review %s is %s: %d of %d items of stage %d decided", r.ID, r.State, progress.Decided,
		progress.Asked, r.Stage)
	return nil
}

// ReviewMarkInput is what ops did to a review.
type ReviewMarkInput struct {
	ReviewInput
	Kind string    `json:"kind"` // access.EventExtended
	By   string    `json:"by"`
	Text string    `json:"text,omitempty"`
	Due  time.Time `json:"due,omitzero"`
}

// ReviewMark records that a stage was extended. A repeat changes nothing.
func (a *Activities) ReviewMark(ctx context.Context, in ReviewMarkInput) (access.Review, error) {
	return a.env.Ledger.ChangeReview(ctx, in.Org, in.Review, func(r *access.Review) bool {
		if !in.Due.After(r.Due) {
			return false
		}
		r.Due = in.Due
		return true
	}, access.ReviewEvent{At: a.env.Now(), Kind: in.Kind, By: in.By, Text: in.Text})
}

// ReviewRevokeInput revokes links.
type ReviewRevokeInput struct {
	ReviewInput
	messages.RevokeLinksInput
}

// ReviewRevoke revokes the links and codes sent so far. A repeat finds none left.
func (a *Activities) ReviewRevoke(ctx context.Context, in ReviewRevokeInput) (int, error) {
	only := ""
	if in.Reviewer != "" {
		p, err := a.env.LookUpAccount(ctx, in.Org, in.Reviewer)
		if err != nil {
			return 0, err
		}
		only = p.ID
	}
	return a.env.Ledger.RevokeReviewLinks(ctx, in.Org, in.Review, only, a.env.Now())
}
