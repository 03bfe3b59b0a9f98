package ledger

import (
	"context"
	"encoding/json"

	"github.com/castellan-io/castellan/access"
)

// provenSuspensions returns the people whom Castellan suspended according to the chain, of suspensions from before they
// were recorded, and did not restore since.
func provenSuspensions(ctx context.Context, d database, org string, all []access.Suspension) (map[string]bool, error) {
	proven := map[string]bool{}
	for _, some := range chunks(all) {
		people := make([]string, len(some))
		rows := map[string]access.Suspension{}
		for i, s := range some {
			people[i], rows[s.Person] = s.Person, s
		}
		by := map[string]int64{} // the entry about it
		where, args := among("org", "person", people, org)
		if err := d.each(ctx, func(row scanner) error {
			e, err := scanEntry(row)
			var is changeBody
			if err != nil || json.Unmarshal(e.Body, &is) != nil ||
				is.State != access.Done && is.State != access.Already || !e.Target.Presence() {
				return err
			}
			s := rows[e.Person]
			switch {
			case e.Target != access.Directory || is.Action != access.Remove:
				delete(by, e.Person)
			case e.Run == s.Run && instant(e.At) == instant(s.Since) && access.OnlyRules(is.Reasons):
				by[e.Person] = e.Seq
			}
			return nil
		}, selectEntry+` WHERE `+where+` AND kind = ? ORDER BY seq`, append(args, EntryChange)...); err != nil {
			return nil, err
		}
		var numbers []int64
		for _, seq := range by {
			numbers = append(numbers, seq)
		}
		if len(numbers) == 0 {
			continue
		}
		found, err := linked(ctx, d, org, numbers)
		if err != nil {
			return nil, err
		}
		for person, seq := range by {
			if _, is := found[seq]; is {
				proven[person] = true
			}
		}
	}
	return proven, nil
}
