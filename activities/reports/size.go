package reports

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// mostAnswer is how many bytes an answer may have: a history contains it twice, and Temporal's limit is 2 MB. A larger
// page gets fewer rows.
const mostAnswer = 1 << 20

// Answer answers a question from the ledger. It changes nothing and calls nothing else. Any answer can be sent: one
// with more or larger rows comes in pages.
func (a *Activities) Answer(ctx context.Context, in messages.ReportInput) (messages.ReportAnswer, error) {
	defer session.AutoHeartbeat(ctx)()
	if in.Limit <= 0 {
		in.Limit = usualRows
	}
	in.Limit = min(in.Limit, mostRows)
	for {
		answer, err := a.answer(ctx, in)
		answer = readable(answer)
		size := answerSize(answer)
		switch {
		case err != nil || size <= mostAnswer:
			return answer, err
		case in.Limit == 1:
			return messages.ReportAnswer{}, session.NonRetryable(session.ErrInvalid, fmt.Errorf(
				"the answer to the question %s has %d KB, even of one row; at most %d KB can be sent: ask for one target or one person", in.Kind, size>>10, mostAnswer>>10))
		}
		in.Limit = max(1, min(in.Limit/2, in.Limit*mostAnswer/size))
	}
}

// readable returns an answer for people. Its own text has lines, each of which was made readable before; next stays as
// it is.
func readable(answer messages.ReportAnswer) messages.ReportAnswer {
	shown := display.Answer(answer)
	shown.Message, shown.Next = display.Visible(answer.Message), answer.Next
	return shown
}

func answerSize(answer messages.ReportAnswer) int {
	text, _ := json.Marshal(answer) // plain data always encodes
	return len(text)
}

// fitted returns an explanation that can be sent: if a person holds something for very many reasons, it has the first
// of them, and their number.
func fitted(answer messages.ReportAnswer) (messages.ReportAnswer, error) {
	answer = readable(answer)
	for _, most := range []int{200, 50, 10, 2} {
		if answerSize(answer) <= mostAnswer || answer.Explain == nil {
			return answer, nil
		}
		shorten(answer.Explain, most)
		answer.Message = cutText(answer.Message, most*1000)
	}
	if size := answerSize(answer); size > mostAnswer {
		return messages.ReportAnswer{},
			session.NonRetryable(session.ErrInvalid,
				fmt.Errorf("the explanation has %d KB; at most %d KB can be sent: ask why of one target instead",
					size>>10, mostAnswer>>10))
	}
	return answer, nil
}

// shorten limits each list to so many elements.
func shorten(x *messages.Explanation, most int) {
	for _, sayings := range [][]messages.Statement{x.Mappings, x.Rules, x.Grants, x.Reviews} {
		for i := range sayings {
			sayings[i].Why = cutText(sayings[i].Why, most*100)
		}
	}
	for i := range x.Facts {
		x.Facts[i].Value = cutText(x.Facts[i].Value, most*1000)
	}
	for i := range x.Targets {
		t := &x.Targets[i]
		t.Reasons, t.Denied, t.Unsure = firstReasons(t.Reasons, most), firstReasons(t.Denied, most),
			firstReasons(t.Unsure, most)
	}
	for _, changes := range [][]access.Change{x.Changes, x.Rejected} {
		for i := range changes {
			changes[i].Reasons = firstReasons(changes[i].Reasons, most)
			changes[i].Sources = changes[i].Sources[:min(len(changes[i].Sources), most)]
		}
	}
	x.Person.GroupIDs = x.Person.GroupIDs[:min(len(x.Person.GroupIDs), most*10)]
}

// firstReasons returns the first reasons, and a last one with the number of all.
func firstReasons(all []access.Reason, most int) []access.Reason {
	if len(all) <= most {
		return all
	}
	return append(all[:most-1:most-1],
		access.Reason{Kind: all[most-1].Kind, Name: fmt.Sprintf("and %d more", len(all)-most+1)})
}

func cutText(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
