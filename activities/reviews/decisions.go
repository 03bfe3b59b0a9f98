package reviews

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/review"
)

// ReviewSayInput is the messages of reviewers since the last call, in order.
type ReviewSayInput struct {
	ReviewInput
	Words []ReviewMessage `json:"words"`
}

// ReviewMessage is one body of decide, delegate, comment or reopen. Codes stay in the workflow: this has only their
// hashes.
type ReviewMessage struct {
	Decide   *messages.DecideInput   `json:"decide,omitempty"`
	Delegate *messages.DelegateInput `json:"delegate,omitempty"`
	Comment  *messages.CommentInput  `json:"comment,omitempty"`
	Reopen   *messages.ReopenInput   `json:"reopen,omitempty"`
	CodeHash string                  `json:"codeHash,omitempty"`
	Shown    string                  `json:"shown,omitempty"` // the use that spent the code
	Via      string                  `json:"via"`
	At       time.Time               `json:"at"` // when it was sent

	// A good link has proved who the sender is.
	trusted        bool
	account, email string
}

// ReviewMessageResult is the answer to one message.
type ReviewMessageResult struct {
	Refused string                `json:"refused,omitempty"` // why the whole message was
	Answer  messages.ReviewAnswer `json:"answer"`
}

// ReviewSay records messages of reviewers, each by itself, all in one step: however many decide at once, the history
// grows by one activity for all that came meanwhile. What was answered is stored. A repeat changes nothing; its answers
// then say "repeated", which does no harm.
func (a *Activities) ReviewSay(ctx context.Context, in ReviewSayInput) ([]ReviewMessageResult, error) {
	defer session.AutoHeartbeat(ctx)()
	r, err := a.env.Ledger.Review(ctx, in.Org, in.Review)
	if err != nil {
		return nil, err
	}
	return a.recordDecisions(ctx, in.Org, r, in.Words)
}

// recordDecisions records messages, and answers each. An invalid one is refused by itself.
func (a *Activities) recordDecisions(ctx context.Context, org string, r access.Review,
	words []ReviewMessage) ([]ReviewMessageResult, error) {
	who, err := a.lookUpActors(ctx, org, words)
	if err != nil {
		return nil, err
	}
	heard := make([]ReviewMessageResult, len(words))
	var good []ledger.ReviewMessage
	var places []int
	for i, w := range words {
		word, refusal, err := a.ledgerMessage(ctx, org, r, w, who)
		if err != nil {
			return nil, err
		}
		if heard[i].Refused = refusal; refusal == "" {
			good, places = append(good, word), append(places, i)
		}
	}
	if len(good) == 0 {
		return heard, nil
	}
	said, err := a.env.Ledger.RecordMessages(ctx, org, r.ID, good)
	if err != nil {
		return nil, err
	}
	for n, i := range places {
		heard[i] = resultOf(good[n], said[n])
		if errors.Is(said[n].Err, ledger.ErrCode) && good[n].Pass.Proof != "" {
			a.env.ResendAfterGuess(ctx, session.BurntCode{Org: org, Review: r.ID, Name: good[n].By}, a.resendReviewCode)
		}
	}
	return heard, nil
}

// ledgerMessage converts a message to the ledger's form, in which people are accounts; refusal is why it is invalid.
func (a *Activities) ledgerMessage(ctx context.Context, org string, r access.Review, w ReviewMessage,
	who actors) (_ ledger.ReviewMessage, refusal string, err error) {
	workflow := messages.ReviewID(org, r.ID)
	word := ledger.ReviewMessage{Via: w.Via, At: w.At}
	var typed string
	var filter *messages.ItemFilter
	pass := func(p messages.Credential, prove func(hash string) string) {
		word.Pass = ledger.Pass{Trusted: w.trusted || !r.Codes, CodeHash: w.CodeHash, Shown: w.Shown, Proof: p.Proof,
			Proves: func(hash string) bool {
				return p.Proof != "" && session.SameText(p.Proof, prove(hash))
			}}
	}
	switch {
	case w.Decide != nil:
		in := *w.Decide
		word.Kind, typed, word.Verdict, word.Comment = access.EventDecided, in.By, in.Verdict, in.Comment
		filter, word.Lines = in.All, numbered(in.Items, in.Verdict, in.Comment)
		for _, line := range in.Lines {
			word.Lines = append(word.Lines,
				ledger.ItemMessage{N: line.Item, Verdict: line.Verdict, Comment: line.Comment, Version: line.Version})
		}
		pass(in.Credential, func(h string) string { return messages.Proof(h, workflow, messages.DecideItems, in) })
	case w.Delegate != nil:
		in := *w.Delegate
		to, refusal, err := a.delegate(ctx, org, r, who, in.To)
		if err != nil || refusal != "" {
			return word, refusal, err
		}
		word.Kind, typed, word.To, word.ToEmail, word.Comment = access.EventDelegated, in.By, to.ID,
			to.Email, in.Comment
		if filter, word.Lines = in.All, numbered(in.Items, "", ""); filter == nil && len(in.Items) == 0 {
			filter = &messages.ItemFilter{Undecided: true}
		}
		pass(in.Credential, func(h string) string { return messages.Proof(h, workflow, messages.DelegateItems, in) })
	case w.Comment != nil:
		in := *w.Comment
		word.Kind, typed, word.Comment, word.Lines = access.EventCommented, in.By, in.Comment,
			numbered([]int{in.Item}, "", "")
		pass(in.Credential, func(h string) string { return messages.Proof(h, workflow, messages.CommentItem, in) })
	case w.Reopen != nil:
		in := *w.Reopen
		word.Kind, typed, word.Comment = access.EventReopened, in.By, in.Comment
		filter, word.Lines = in.All, numbered(in.Items, "", "")
		pass(in.Credential, func(h string) string { return messages.Proof(h, workflow, messages.ReopenItems, in) })
	}
	if word.By, word.ByEmail = w.account, w.email; !w.trusted {
		p, refusal := who.of(typed, false)
		if refusal != "" {
			return word, refusal, nil
		}
		word.By, word.ByEmail = p.ID, p.Email
	}
	word.All, refusal = who.filter(filter)
	return word, refusal, nil
}

// filter converts a filter to the ledger's form, in which a person is an account.
func (s actors) filter(of *messages.ItemFilter) (all *ledger.MessageFilter, refusal string) {
	if of == nil {
		return nil, ""
	}
	all = &ledger.MessageFilter{Target: of.Target, Recommend: of.Recommend, Undecided: of.Undecided}
	if of.Person != "" {
		one := s[of.Person]
		if one.Err != nil {
			return nil, session.ErrorText(one.Err)
		}
		all.Person = one.Person.ID
	}
	return all, ""
}

// delegate returns to whom items are delegated. It has to be somebody active, since they are sent a link, and allowed
// by the campaign.
func (a *Activities) delegate(ctx context.Context, org string, r access.Review, who actors,
	typed string) (to access.Person, refusal string, err error) {
	if to, refusal = who.of(typed, true); refusal != "" {
		return to, refusal, nil
	}
	in := ReviewInput{Org: org, Review: r.ID}
	_, campaign, err := a.campaignOf(ctx, in)
	if err != nil {
		return to, "", err
	}
	var members map[string][]access.Person
	if groups := campaign.DelegateGroups(); len(groups) > 0 {
		review, err := a.openCampaign(ctx, in)
		if err == nil {
			members, err = review.Approvers(ctx, groups)
		}
		if err != nil {
			return to, fmt.Sprintf("it is not known at the moment to whom items may be delegated, because the directory cannot be read (%s); try again later", session.ErrorText(err)), nil
		}
	}
	if err := campaign.MayDelegateTo(to, members); err != nil {
		return to, session.ErrorText(err), nil
	}
	return to, "", nil
}

func numbered(items []int, v access.Verdict, comment string) []ledger.ItemMessage {
	var lines []ledger.ItemMessage
	for _, n := range items {
		lines = append(lines, ledger.ItemMessage{N: n, Verdict: v, Comment: comment})
	}
	return lines
}

// resultOf returns the answer to a message.
func resultOf(w ledger.ReviewMessage, s ledger.MessageResult) ReviewMessageResult {
	if s.Err != nil {
		return ReviewMessageResult{Refused: refusalOf(w, s.Err)}
	}
	h := ReviewMessageResult{Answer: messages.ReviewAnswer{Applied: len(s.Applied), Repeated: len(s.Repeated),
		Declined: len(s.Refused), Left: s.Left}}
	for _, r := range s.Refused[:min(len(s.Refused), messages.MostRefusedItems)] {
		h.Answer.Refused = append(h.Answer.Refused, messages.RefusedItem{Item: r.N, Why: r.Why})
	}
	h.Answer.Message = saidInWords(w, h.Answer)
	return h
}

func refusalOf(w ledger.ReviewMessage, err error) string {
	switch {
	case errors.Is(err, ledger.ErrCode) && w.Pass.Proof == "" && w.Pass.CodeHash == "":
		return "this review requires reviewers' codes: send yours as code (it then works once), or use starter review, which proves that you know it without sending it"
	case errors.Is(err, ledger.ErrCode):
		return "the code is not the one that this reviewer was sent for this review, or it was used already; the update remind sends another"
	case errors.Is(err, review.ErrNotReviewer):
		return fmt.Sprintf("%s is not asked about anything in this stage of the review", cmp.Or(w.ByEmail, w.By))
	}
	return session.ErrorText(err)
}

func saidInWords(w ledger.ReviewMessage, a messages.ReviewAnswer) string {
	var parts []string
	say := func(n int, words string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf(words, ofItems(n)))
		}
	}
	switch w.Kind {
	case access.EventDecided:
		say(a.Applied, "%s decided")
	case access.EventDelegated:
		say(a.Applied, "%s delegated to "+strings.ReplaceAll(cmp.Or(w.ToEmail, w.To), "%", "%%")+", who is notified")
	case access.EventReopened:
		say(a.Applied, "%s open again")
	default:
		say(a.Applied, "commented on %s")
	}
	say(a.Repeated, "%s as before")
	say(a.Declined, "%s refused")
	return cmp.Or(strings.Join(parts, ", "), "nothing changes") + fmt.Sprintf("; %s left to decide", ofItems(a.Left))
}

func ofItems(n int) string { return session.CountOf(n, "item", "items") }
