package main

import (
	"context"

	"github.com/castellan-io/castellan/messages"
)

// askAll asks until it has that many rows, or all of them where most is 0: how many come at once depends on their size.
// Next of the answer is the page after the last one it has.
func (s *session) askAll(ctx context.Context, in messages.ReportInput, most int) (messages.ReportAnswer, error) {
	in.Limit = most
	answer, err := s.ask(ctx, in)
	if err != nil {
		return answer, err
	}
	if in.Kind == messages.ReportPreview && answer.Plan != nil { // what was previewed is read on, not made again
		in.Kind, in.Run, in.Policy = messages.ReportPlan, answer.Plan.Run.Run, nil
	}
	for answer.Next != "" && (most == 0 || rows(answer) < most) {
		if in.After = answer.Next; most > 0 {
			in.Limit = most - rows(answer)
		}
		page, err := s.ask(ctx, in)
		if err != nil {
			return answer, err
		}
		if rows(page) == 0 {
			break // a page without rows leads nowhere
		}
		join(&answer, page)
	}
	return answer, nil
}

func rows(a messages.ReportAnswer) int {
	n := len(a.Runs) + len(a.Foreign) + len(a.Grants) + len(a.Hours) + len(a.Reviews) + len(a.Items)
	if a.Plan != nil {
		n += len(a.Plan.Lines)
	}
	if a.Why != nil {
		n += len(a.Why.Holdings)
	}
	return n
}

// join adds a page to those before it.
func join(all *messages.ReportAnswer, page messages.ReportAnswer) {
	all.Runs, all.Foreign, all.Grants = append(all.Runs, page.Runs...), append(all.Foreign, page.Foreign...),
		append(all.Grants, page.Grants...)
	all.Hours, all.Reviews, all.Items = append(all.Hours, page.Hours...), append(all.Reviews, page.Reviews...),
		append(all.Items, page.Items...)
	if all.Plan != nil && page.Plan != nil {
		all.Plan.Lines = append(all.Plan.Lines, page.Plan.Lines...)
	}
	if all.Why != nil && page.Why != nil {
		all.Why.Holdings = append(all.Why.Holdings, page.Why.Holdings...)
		all.Message += "\n" + page.Message
	}
	all.Next = page.Next
}
