package reports

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
)

func (a *Activities) grants(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	if in.Grant != "" {
		g, err := a.env.Ledger.Grant(ctx, in.Org, in.Grant)
		if errors.Is(err, ledger.ErrNotFound) {
			return session.NonRetryable(session.ErrUnknown,
				fmt.Errorf("organization %s: no request %q is known", in.Org, in.Grant))
		}
		if err != nil {
			return err
		}
		answer.Grants, err = a.env.WithNames(ctx, in.Org, g)
		return err
	}
	person, err := a.grantHolder(ctx, in.Org, in.Person)
	if err != nil {
		return err
	}
	found, err := a.env.Ledger.Grants(ctx, in.Org, ledger.GrantFilter{
		Person: person, Target: in.Target, Unsettled: in.Open, After: in.After, Limit: in.Limit,
	})
	if err != nil {
		return err
	}
	if answer.Grants, err = a.env.WithNames(ctx, in.Org, found...); err != nil {
		return err
	}
	answer.Message = fmt.Sprintf("%d grants", len(found))
	if len(found) == in.Limit {
		answer.Next = found[len(found)-1].ID
	}
	return nil
}

// grantHolder returns the key under which the grants of a typed name are stored: the account, or the address of
// somebody who was invited and has none yet.
func (a *Activities) grantHolder(ctx context.Context, org, typed string) (string, error) {
	if typed == "" {
		return "", nil
	}
	p, err := a.env.LookUpAccount(ctx, org, typed)
	if name, bad := access.ReadName(typed); bad == nil && session.IsNotFound(err) && access.IsAddress(name) {
		return strings.ToLower(name), nil
	}
	return p.ID, err
}

// hours sums up who held what by grants for how long: the number to reduce.
func (a *Activities) hours(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	now := a.env.Now()
	if in.Since.IsZero() {
		in.Since = time.Date(now.Year()-1, now.Month(), 1, 0, 0, 0, 0, time.UTC)
	}
	sums, err := a.env.Ledger.Hours(ctx, in.Org, in.Since, now)
	if err != nil {
		return err
	}
	var all time.Duration
	for _, one := range sums {
		all += one.Held
		answer.Hours = append(answer.Hours, messages.Privilege{
			Month: one.Month, Person: cmp.Or(one.Email, one.Person), Target: one.Target,
			Held: messages.Duration(one.Held), Grants: one.Grants,
		})
	}
	answer.Hours, answer.Next = pageOf(answer.Hours, in,
		func(p messages.Privilege) string { return p.Month + "\n" + p.Person + "\n" + string(p.Target) })
	answer.Message = fmt.Sprintf("%.2f hours of privilege since %s", all.Hours(), in.Since.Format(time.DateOnly))
	return nil
}
