package main

import (
	"context"

	"github.com/castellan-io/castellan/messages"
)

// askAll asks until it has limit rows, or all of them if limit is 0; a page's size depends on the size of its rows. The
// answer's Next is the page after the last one read.
func (s *session) askAll(ctx context.Context, in messages.ReportInput, limit int) (messages.ReportAnswer, error) {
	in.Limit = limit
	answer, err := s.ask(ctx, in)
	if err != nil {
		return answer, err
	}
	if in.Kind == messages.ReportPreview && answer.Plan != nil { // read on in the same preview
		in.Kind, in.Run, in.Policy = messages.ReportPlan, answer.Plan.Run.Run, nil
	}
	for answer.Next != "" && (limit == 0 || rows(answer) < limit) {
		if in.After = answer.Next; limit > 0 {
			in.Limit = limit - rows(answer)
		}
		page, err := s.ask(ctx, in)
		if err != nil {
			return answer, err
		}
		if rows(page) == 0 {
			break
		}
		join(&answer, page)
	}
	return answer, nil
}

func rows(a messages.ReportAnswer) int {
	n := len(a.Runs) + len(a.Foreign) + len(a.Grants) + len(a.Hours) + len(a.Reviews) + len(a.Items) + len(a.People)
	if a.Plan != nil {
		n += len(a.Plan.Lines)
	}
	if a.Why != nil {
		n += len(a.Why.Holdings)
	}
	return n
}

func join(all *messages.ReportAnswer, page messages.ReportAnswer) {
	all.Runs, all.Foreign, all.Grants = append(all.Runs, page.Runs...), append(all.Foreign, page.Foreign...),
		append(all.Grants, page.Grants...)
	all.Hours, all.Reviews, all.Items = append(all.Hours, page.Hours...), append(all.Reviews, page.Reviews...),
		append(all.Items, page.Items...)
	all.People = append(all.People, page.People...)
	if all.Plan != nil && page.Plan != nil {
		all.Plan.Lines = append(all.Plan.Lines, page.Plan.Lines...)
	}
	if all.Why != nil && page.Why != nil {
		all.Why.Holdings = append(all.Why.Holdings, page.Why.Holdings...)
		all.Message += "\n" + page.Message
	}
	all.Next = page.Next
}
