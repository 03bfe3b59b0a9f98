package access

import "time"

// RowGap is the longest break that does not interrupt a row, that is, consecutive grants of a limited total time: a
// quarter of the limit, and an hour at the most.
func RowGap(most Duration) time.Duration { return min(most.Std()/4, time.Hour) }

// RowReach is how long before an instant a grant may have ended that still matters to RowRoom.
func RowReach(most Duration) time.Duration { return most.Std() + RowGap(most) }

// RowBegan returns the beginning of the row that a grant starting at the instant would continue: consecutive grants,
// whatever their IDs, with breaks shorter than the gap. If it continues none, that is the instant itself.
func RowBegan(at time.Time, gap time.Duration, grants []Grant) time.Time {
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

// RowRoom returns how long something can be held from the instant on before the row exceeds its limit, counting grants
// that begin later and would continue the row.
func RowRoom(at time.Time, most Duration, grants []Grant) time.Duration {
	gap := RowGap(most)
	end := RowBegan(at, gap, grants).Add(most.Std())
	room := end.Sub(at)
	for _, later := range grants {
		if later.State != GrantGranted || !later.From.After(at) || !later.Until.After(later.From) {
			continue
		}
		if rowEnds(later, gap, grants).After(end) { // a break has to stay before it
			room = min(room, later.From.Add(-gap).Sub(at))
		}
	}
	return max(room, 0)
}

// rowEnds returns the end of the row that a grant belongs to.
func rowEnds(of Grant, gap time.Duration, grants []Grant) time.Time {
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
