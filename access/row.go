package access

import "time"

// RowGap is the longest break that does not count as one, where so much may be held in a row: a quarter of it, and an
// hour at the most.
func RowGap(most Duration) time.Duration { return min(most.Std()/4, time.Hour) }

// RowReach is how far back from an instant grants may have ended that matter to RowRoom there.
func RowReach(most Duration) time.Duration { return most.Std() + RowGap(most) }

// RowBegan is when the row began that a grant from the instant on would continue: grants one after the other, whatever
// they are called, between which there were only breaks shorter than the gap. Where none is continued, it is the
// instant.
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

// RowRoom is for how long something can be held from the instant on before the row has lasted too long, with whatever
// is granted for later and would continue it.
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

// rowEnds is when the row ends that a grant is part of.
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
