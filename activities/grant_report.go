package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

func (a *Activities) grants(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	if in.Grant != "" {
		g, err := a.ledger.Grant(ctx, in.Org, in.Grant)
		if errors.Is(err, ledger.ErrNotFound) {
			return stop(ErrUnknown, fmt.Errorf("organization %s: no request %q is known", in.Org, in.Grant))
		}
		answer.Grants = []access.Grant{g}
		return err
	}
	found, err := a.ledger.Grants(ctx, in.Org, ledger.GrantFilter{
		Person: in.Person, Target: in.Target, Unsettled: in.Open, After: in.After, Limit: in.Limit,
	})
	if err != nil {
		return err
	}
	answer.Grants = found
	answer.Message = fmt.Sprintf("%d grants", len(found))
	if len(found) == in.Limit {
		answer.Next = found[len(found)-1].ID
	}
	return nil
}

// hours sums up who held what by grants for how long: the number to bring down.
func (a *Activities) hours(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	now := a.now()
	if in.Since.IsZero() {
		in.Since = time.Date(now.Year()-1, now.Month(), 1, 0, 0, 0, 0, time.UTC)
	}
	sums, err := a.ledger.Hours(ctx, in.Org, in.Since, now)
	if err != nil {
		return err
	}
	var all time.Duration
	for _, one := range sums {
		all += one.Held
		answer.Hours = append(answer.Hours, messages.Privilege{
			Month: one.Month, Person: cmp.Or(one.Email, one.Person), Target: one.Target, Held: messages.Duration(one.Held), Grants: one.Grants,
		})
	}
	answer.Hours = answer.Hours[:min(len(answer.Hours), mostRows)]
	answer.Message = fmt.Sprintf("%.2f hours of privilege since %s", all.Hours(), in.Since.Format(time.DateOnly))
	return nil
}
