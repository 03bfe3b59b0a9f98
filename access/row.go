package access

import "time"

// ConsecutiveGap is the longest break that does not interrupt a row, that is, consecutive grants of a limited total
// time: a quarter of the limit, and an hour at the most.
func ConsecutiveGap(most Duration) time.Duration { return min(most.Std()/4, time.Hour) }

// ConsecutiveReach is how long before an instant a grant may have ended that still matters to ConsecutiveRoom.
func ConsecutiveReach(most Duration) time.Duration { return most.Std() + ConsecutiveGap(most) }

// ConsecutiveBegin returns the beginning of the row that a grant starting at the instant would continue: consecutive
// grants, whatever their IDs, with breaks shorter than the gap. If it continues none, that is the instant itself.
func ConsecutiveBegin(at time.Time, gap time.Duration, grants []Grant) time.Time {
	began := at
	for again := true; again; {
		again = false
		for _, g := range grants {
			held := (g.State == GrantGranted || g.State == GrantEnded) && g.Until.After(g.From)
			if held && g.From.Before(began) && g.Until.Add(gap).After(began) {
				began, again = g.From, true
			}
		}
	}
	return began
}

// ConsecutiveRoom returns how long something can be held from the instant on before the row exceeds its limit, counting
// grants that begin later and would continue the row.
func ConsecutiveRoom(at time.Time, most Duration, grants []Grant) time.Duration {
	gap := ConsecutiveGap(most)
	end := ConsecutiveBegin(at, gap, grants).Add(most.Std())
	room := end.Sub(at)
	for _, later := range grants {
		if later.State != GrantGranted || !later.From.After(at) || !later.Until.After(later.From) {
			continue
		}
		if consecutiveEnd(later, gap, grants).After(end) { // a break has to stay before it
			room = min(room, later.From.Add(-gap).Sub(at))
		}
	}
	return max(room, 0)
}

// consecutiveEnd returns the end of the row that a grant belongs to.
func consecutiveEnd(of Grant, gap time.Duration, grants []Grant) time.Time {
	end := of.Until
	for again := true; again; {
		again = false
		for _, g := range grants {
			if g.State == GrantGranted && g.Until.After(end) && g.From.Before(end.Add(gap)) {
				end, again = g.Until, true
			}
		}
	}
	return end
}
