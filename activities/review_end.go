package activities

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	evidencepack "github.com/castellan-io/castellan/evidence"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// ReviewEndInput ends a review.
type ReviewEndInput struct {
	ReviewInput
	State access.ReviewState `json:"state"`
}

// evidencePiece is how much of a pack is kept in one row, in bytes; a line is never cut.
const evidencePiece = 256 << 10

// eventsAtOnce is how many entries of a review's log are in memory.
const eventsAtOnce = 2000

// ReviewEnd makes the evidence of a review that is over, keeps it, and makes the review's state final, with the head of the evidence
// in the organization's chain. A repeat makes it again, until the state is final.
func (a *Activities) ReviewEnd(ctx context.Context, in ReviewEndInput) (access.Review, error) {
	defer beating(ctx)()
	r, campaign, err := a.campaignOf(ctx, in.ReviewInput)
	if err != nil || r.State.Final() {
		return r, err
	}
	if r.Items == 0 && in.State == access.ReviewSkipped {
		return a.ledger.EndReview(ctx, in.Org, in.Review, in.State, "", 0, a.now())
	}
	said, err := json.Marshal(campaign)
	if err != nil {
		return r, err
	}
	now := a.now()
	was := r
	was.State, was.Ended = in.State, now
	pieces := &pieces{save: func(n int, body string) error {
		activity.RecordHeartbeat(ctx, n)
		return a.ledger.SaveEvidence(ctx, in.Org, in.Review, n, body)
	}}
	seal, err := a.writeEvidence(ctx, in.ReviewInput, pieces, evidencepack.Head{Org: in.Org, Review: was, Campaign: said, Policy: r.Policy, Made: now, Castellan: a.version})
	if err != nil {
		return r, err
	}
	if _, err := evidencepack.Verify(&evidenceReader{ctx: ctx, ledger: a.ledger, in: in.ReviewInput}); err != nil {
		activity.GetLogger(ctx).Error("the evidence does not agree with itself; what it says stays as it is", "review", in.Review, "error", err)
		if _, err := a.ledger.ChangeReview(ctx, in.Org, in.Review, func(is *access.Review) bool {
			is.Findings = append(is.Findings, "the evidence does not agree with itself: "+err.Error())
			return true
		}); err != nil {
			return r, err
		}
	}
	return a.ledger.EndReview(ctx, in.Org, in.Review, in.State, seal.Head, seal.Lines, now)
}

// writeEvidence writes the pack: the review, its items, its log.
func (a *Activities) writeEvidence(ctx context.Context, in ReviewInput, to *pieces, head evidencepack.Head) (evidencepack.Seal, error) {
	w, err := evidencepack.NewWriter(to, head)
	if err != nil {
		return evidencepack.Seal{}, err
	}
	filter := ledger.ItemFilter{Limit: settleAtOnce}
	for head.Review.Items > 0 { // one that was cancelled while it opened has items without numbers: nobody was asked about them
		some, err := a.ledger.Items(ctx, in.Org, in.Review, filter)
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
		some, err := a.ledger.ReviewEvents(ctx, in.Org, in.Review, after, eventsAtOnce)
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

// pieces cuts what is written into pieces of whole lines.
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
	whole := bytes.LastIndexByte(p.buffer.Bytes(), '\n') + 1
	if whole == 0 {
		return len(data), nil
	}
	body := string(p.buffer.Next(whole))
	p.n++
	return len(data), p.save(p.n-1, body)
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

// reviewEvidence answers with one piece of a review's evidence.
func (a *Activities) reviewEvidence(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	r, _, err := a.campaignOf(ctx, ReviewInput{Org: in.Org, Review: in.ID})
	if err != nil {
		return err
	}
	if !r.State.Final() {
		return stop(ErrUnknown, fmt.Errorf("review %s is %s: its evidence is made when it is over", r.ID, r.State))
	}
	piece := 0
	if in.After != "" {
		if piece, err = strconv.Atoi(in.After); err != nil {
			return stop(ErrUnknown, fmt.Errorf("%q is no place in a document", in.After))
		}
	}
	answer.Evidence = &messages.Evidence{Review: r.ID, Lines: r.Lines, Head: r.Head}
	body, more, err := a.ledger.Evidence(ctx, in.Org, r.ID, piece)
	if errors.Is(err, ledger.ErrNotFound) {
		return stop(ErrUnknown, fmt.Errorf("review %s has no evidence: there was nothing to review", r.ID))
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
	all, err := a.ledger.Reviews(ctx, in.Org, in.Campaign, in.After, in.Limit)
	if err != nil {
		return err
	}
	for _, r := range all {
		r.Holders, r.Findings = nil, nil
		c, err := a.ledger.CountReview(ctx, in.Org, r.ID)
		if err != nil {
			return err
		}
		answer.Reviews = append(answer.Reviews, messages.ReviewListed{Review: r, Decided: c.Verdicts[access.VerdictKeep] + c.Verdicts[access.VerdictRemove], Outcomes: c.Outcomes})
	}
	if len(all) == in.Limit {
		answer.Next = all[len(all)-1].ID
	}
	answer.Message = counted(len(all), "review", "reviews")
	return nil
}

// mostListed bounds the items of one answer: they travel through a history, which takes 2 MB.
const mostListed = 500

// reviewItems lists the items of a review, of all or of one reviewer.
func (a *Activities) reviewItems(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	r, _, err := a.campaignOf(ctx, ReviewInput{Org: in.Org, Review: in.ID})
	if err != nil {
		return err
	}
	filter := ledger.ItemFilter{Limit: min(in.Limit, mostListed), Undecided: in.Open, Target: in.Target}
	if in.After != "" {
		if filter.After, err = strconv.Atoi(in.After); err != nil {
			return stop(ErrUnknown, fmt.Errorf("%q is no item's number", in.After))
		}
	}
	for _, state := range in.States {
		filter.Outcomes = append(filter.Outcomes, access.Outcome(state))
	}
	if in.By != "" {
		name, err := a.reviewerName(ctx, in.Org, in.By)
		if err != nil {
			return err
		}
		filter.Reviewer, filter.Stage = []string{name}, r.Stage
		if err := a.ledger.SeenReview(ctx, in.Org, r.ID, name, "command", a.now(), seenEvery); err != nil {
			return err
		}
	}
	if in.Person != "" {
		p, err := a.ledger.FindPerson(ctx, in.Org, in.Person)
		if err != nil {
			return stop(ErrUnknown, fmt.Errorf("nobody named %s is known in organization %s", in.Person, in.Org))
		}
		filter.Person = p.ID
	}
	items, err := a.ledger.Items(ctx, in.Org, r.ID, filter)
	if err != nil {
		return err
	}
	progress, err := a.ReviewProgress(ctx, ReviewInput{Org: in.Org, Review: r.ID})
	if err != nil {
		return err
	}
	answer.Items, answer.Review = items, &messages.ReviewStatus{Review: r, Phase: string(r.State), Progress: progress, NextAt: time.Time{}}
	if len(items) == filter.Limit {
		answer.Next = strconv.Itoa(items[len(items)-1].N)
	}
	answer.Message = fmt.Sprintf("review %s is %s: %d of %d items of stage %d decided", r.ID, r.State, progress.Decided, progress.Asked, r.Stage)
	return nil
}

// ReviewMarkInput records what ops did to a review.
type ReviewMarkInput struct {
	ReviewInput
	Kind string    `json:"kind"` // access.EventExtended
	By   string    `json:"by"`
	Text string    `json:"text,omitempty"`
	Due  time.Time `json:"due,omitzero"`
}

// ReviewMark records that a stage was extended. A repeat changes nothing.
func (a *Activities) ReviewMark(ctx context.Context, in ReviewMarkInput) (access.Review, error) {
	return a.ledger.ChangeReview(ctx, in.Org, in.Review, func(r *access.Review) bool {
		if !in.Due.After(r.Due) {
			return false
		}
		r.Due = in.Due
		return true
	}, access.ReviewEvent{At: a.now(), Kind: in.Kind, By: in.By, Text: in.Text})
}

// ReviewRevokeInput revokes links.
type ReviewRevokeInput struct {
	ReviewInput
	messages.RevokeLinksInput
}

// ReviewRevoke revokes the links and codes that were sent so far. A repeat finds none left.
func (a *Activities) ReviewRevoke(ctx context.Context, in ReviewRevokeInput) (int, error) {
	return a.ledger.RevokeReviewLinks(ctx, in.Org, in.Review, in.Reviewer, a.now())
}
