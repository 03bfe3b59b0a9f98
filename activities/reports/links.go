package reports

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// links lists the people of a batch of links: what its preview showed of them, and what became of them.
func (a *Activities) links(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	after, err := session.ReadKey(in.After)
	if err != nil {
		return session.NonRetryable(session.ErrUnknown, err)
	}
	if in.State != "" && !slices.Contains(messages.LinkOutcomes(), in.State) {
		return session.NonRetryable(session.ErrUnknown, fmt.Errorf("the people of a batch have no state %q, but %s",
			in.State, strings.Join(messages.LinkOutcomes(), ", ")))
	}
	counts, err := a.env.Ledger.LinkCounts(ctx, in.Org, in.ID)
	if err != nil {
		return err
	}
	if len(counts) == 0 {
		return session.NotFoundf("organization %s has no batch of links %q: start one as workflow %s", in.Org, in.ID,
			messages.LinkID(in.Org, "<batch>"))
	}
	for _, outcome := range session.SortedKeys(counts) {
		answer.States = append(answer.States,
			messages.PeopleCount{Of: "batch " + in.ID, State: outcome, Count: counts[outcome]})
	}
	found, err := a.env.Ledger.Links(ctx, in.Org, in.ID, in.State, ledger.ReadRef(after.Person), in.Limit+1)
	if err != nil {
		return err
	}
	for i, k := range found {
		if i == in.Limit {
			last := answer.Links[i-1].Identity
			answer.Next = session.WriteKey(access.Change{Person: last})
			break
		}
		one := messages.LinkPerson{Identity: k.Ref().String(), Address: k.Address, Account: k.Account, Record: k.Record,
			Wave: k.Wave, Outcome: k.Outcome, Detail: k.Detail}
		if len(k.Shown) > 0 {
			if err := json.Unmarshal(k.Shown, &one.Before); err != nil {
				return fmt.Errorf("what the preview showed of %s cannot be read: %w", one.Identity, err)
			}
		}
		answer.Links = append(answer.Links, one)
	}
	answer.Message = "batch " + in.ID + countsInWords(answer.States)
	return nil
}
