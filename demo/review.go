package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
)

const (
	campaign = "jira-admins"
	admins   = "jira-admins-" + org
	reviewer = "wei.shah@acme.example" // named by the policy
)

// date is that of the review that the demo starts: today.
var date = time.Now().UTC().Format(time.DateOnly)
var reviewID = campaign + ":" + date

// review lets Wei decide who still needs to administer Jira, and checks that the decisions are carried out.
func (d *demo) review(ctx context.Context) error {
	d.out.act(fmt.Sprintf("An access review. Somebody has made %s a Jira admin by hand; Wei Shah is asked who still needs to be one.", d.hired))
	if err := d.makeAdminByHand(ctx); err != nil {
		return err
	}
	if err := d.startReview(ctx); err != nil {
		return err
	}
	stranger, err := d.stranger(ctx)
	if err != nil {
		return err
	}
	if err := d.decideItems(ctx, stranger); err != nil {
		return err
	}
	done, err := d.reviewDone(ctx, stranger)
	if err != nil {
		return err
	}
	d.out.say("  Checked in Atlassian: %s is out, everybody else is in. The evidence can be checked by a stranger, offline:\n", stranger.Email)
	prefix := filepath.Join(d.folder, "evidence")
	if err := d.ops(ctx, "review", "evidence", reviewID, "--out", prefix); err != nil {
		return err
	}
	return d.ops(ctx, "verify-evidence", prefix+".jsonl", "--head", done.Review.Head)
}

func (d *demo) makeAdminByHand(ctx context.Context) error {
	if err := d.Simulator.Invite(ctx, admins, d.hired); err != nil {
		return err
	}
	return d.out.step("until Atlassian's own reads show it", func() (string, error) {
		return "", stack.Eventually(ctx, patience, func() error { return d.shown(ctx) })
	})
}

// startReview starts the review, and shows Wei's items.
func (d *demo) startReview(ctx context.Context) error {
	if err := d.ops(ctx, "review", "start", campaign, "--date", date, "--by", ops); err != nil {
		return err
	}
	var link string
	if err := d.out.step("taking the items, asking Wei", func() (_ string, err error) {
		if _, err := d.untilReview(ctx,
			func(s messages.ReviewStatus) bool { return s.Progress.Asked > 0 }); err != nil {
			return "", err
		}
		link, err = d.mailedLink(ctx)
		return "", err
	}); err != nil {
		return err
	}
	if err := d.ops(ctx, "review", "show", reviewID, "--limit", "4"); err != nil {
		return err
	}
	if link != "" {
		d.out.say("  Wei's mail has a personal link to a page, which is where most reviewers decide:\n\n    %s\n", link)
	}
	return nil
}

// mailedLink waits for the reviewer's mail, and returns its link; "": it has none.
func (d *demo) mailedLink(ctx context.Context) (link string, err error) {
	err = stack.Eventually(ctx, patience, func() error {
		mail, err := d.received(ctx, "review-asked", reviewer)
		if err != nil {
			return err
		}
		if len(mail) == 0 {
			return errors.New("nobody was asked yet")
		}
		link = mail[0].Link
		return nil
	})
	return link, err
}

func (d *demo) decideItems(ctx context.Context, stranger access.Item) error {
	d.out.say("  Nothing in the policy explains why %s is an admin. Wei removes that, and keeps the others; here by commands:\n", stranger.Email)
	if err := d.ops(ctx, "review", "decide", reviewID, "remove", strconv.Itoa(stranger.N), "--comment",
		"not on the Jira team", "--by", reviewer); err != nil {
		return err
	}
	return d.ops(ctx, "review", "decide", reviewID, "keep", "--undecided", "--by", reviewer)
}

// reviewDone waits for the review's end, and checks that the stranger alone was removed.
func (d *demo) reviewDone(ctx context.Context, stranger access.Item) (done messages.ReviewStatus, err error) {
	if err := d.out.step("everything is decided: the removal goes through the guard, is written, read back, and proven",
		func() (_ string, err error) {
			done, err = d.untilReview(ctx, func(s messages.ReviewStatus) bool { return s.Phase == messages.ReviewOver })
			return "", err
		}); err != nil {
		return done, err
	}
	if done.Progress.Outcomes[access.OutcomeRemoved] != 1 {
		return done, fmt.Errorf("one removal was decided, and the review ended with %v", done.Progress.Outcomes)
	}
	truth, err := d.Simulator.State(ctx)
	if err != nil {
		return done, err
	}
	if slices.Contains(stack.Members(truth, stranger.Target.Group()), stranger.Person) {
		return done, fmt.Errorf("%s is still in %s", stranger.Email, stranger.Target)
	}
	return done, nil
}

// received returns the notices of a kind to somebody.
func (d *demo) received(ctx context.Context, kind, to string) ([]messages.Notice, error) {
	if d.mail != nil {
		return d.mail.Of(kind, to), nil
	}
	all, err := d.Simulator.Notices(ctx)
	return slices.DeleteFunc(all, func(n messages.Notice) bool { return n.Kind != kind || n.To != to }), err
}

// shown waits until reads show the person who was made an admin by hand: Atlassian's reads lag.
func (d *demo) shown(ctx context.Context) error {
	answer, err := d.Ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportExplain, Person: d.hired})
	if err == nil && !slices.ContainsFunc(answer.Explain.Targets,
		func(t messages.ExplainedTarget) bool { return t.Target.Group() == admins && t.Held == "yes" }) {
		err = fmt.Errorf("%s is not shown in %s yet", d.hired, admins)
	}
	return err
}

// stranger returns the item that nothing in the policy explains.
func (d *demo) stranger(ctx context.Context) (access.Item, error) {
	answer, err := d.Ask(ctx, messages.ReportInput{Org: org, Kind: messages.ReportReview, ID: reviewID, Limit: 500})
	if err != nil {
		return access.Item{}, err
	}
	i := slices.IndexFunc(answer.Items, func(i access.Item) bool { return i.Email == d.hired })
	if i < 0 || len(answer.Items[i].Reasons) > 0 {
		return access.Item{}, fmt.Errorf("of the %d items none shows that %s was made an admin by hand",
			len(answer.Items), d.hired)
	}
	return answer.Items[i], nil
}

func (d *demo) untilReview(ctx context.Context, want func(messages.ReviewStatus) bool) (s messages.ReviewStatus,
	err error) {
	err = stack.Eventually(ctx, patience, func() error {
		if err := d.alive(); err != nil {
			return err
		}
		value, err := d.Temporal.Client.QueryWorkflow(ctx, messages.ReviewID(org, reviewID), "", messages.Status)
		if err != nil {
			return err
		}
		if err := value.Get(&s); err != nil {
			return err
		}
		if !want(s) {
			return fmt.Errorf("the review is %s: %+v", s.Phase, s.Progress)
		}
		return nil
	})
	return s, err
}
