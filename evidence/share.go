package evidence

import (
	"cmp"
	"maps"
	"slices"

	"github.com/castellan-io/castellan/access"
)

// share is one outcome's part of all items.
type share struct {
	outcome
	Class     string // of its colour
	N         int
	Percent   string
	X, Width  string // of its part of the bar
	Exception bool
}

func shares(c Counts) []share {
	var all []share
	before := 0
	for _, o := range outcomeOrder {
		n := c.Outcomes[orNone(string(o))]
		if n == 0 {
			continue
		}
		all = append(all, share{
			outcome: outcomes[o], Class: orNone(string(o)), N: n, Percent: percent(n, c.Items),
			X: place(float64(before) / float64(c.Items)), Width: place(float64(n) / float64(c.Items)),
			Exception: o.Exception(),
		})
		before += n
	}
	return all
}

// voice is what one reviewer said, as far as it counts: a word for each item and stage.
type voice struct {
	Reviewer string // empty: nobody
	// only nobody left items undecided: the log does not have who was asked
	Kept, Removed, Undecided                int
	KeptWidth, RemovedX, RemovedWidth, Rest string // of the parts of the bar
}

// mostVoices is how many reviewers are shown; a bar among hundreds says nothing.
const mostVoices = 40

// voicesOf are the reviewers, those with the most to say first, and last the items on which nobody decided.
func voicesOf(items []access.Item, events []access.ReviewEvent) (voices []voice, more int) {
	by := make(map[string]*voice)
	of := func(reviewer string) *voice {
		if by[reviewer] == nil {
			by[reviewer] = &voice{}
		}
		return by[reviewer]
	}
	called := map[string]string{}
	nobody := voice{}
	for _, i := range items {
		if len(i.Said) == 0 {
			nobody.Undecided++
		}
		for _, s := range i.Said {
			called[s.By] = cmp.Or(s.Email, called[s.By])
			if s.Verdict == access.VerdictKeep {
				of(s.By).Kept++
			} else {
				of(s.By).Removed++
			}
		}
	}
	for _, e := range events {
		if e.To != "" {
			of(e.To)
			called[e.To] = cmp.Or(e.ToEmail, called[e.To])
		}
		if e.Kind == access.EventSeen && e.By != "" {
			of(e.By)
		}
		called[e.By] = cmp.Or(e.ByEmail, called[e.By])
	}
	for reviewer, v := range by {
		v.Reviewer = cmp.Or(called[reviewer], reviewer)
	}
	all := slices.SortedFunc(maps.Values(by), func(a, b *voice) int {
		return cmp.Or(cmp.Compare(b.Kept+b.Removed, a.Kept+a.Removed), cmp.Compare(a.Reviewer, b.Reviewer))
	})
	if len(all) > mostVoices {
		more = len(all) - mostVoices
		all = all[:mostVoices]
	}
	for _, v := range all {
		voices = append(voices, *v)
	}
	if nobody.Undecided > 0 {
		voices = append(voices, nobody)
	}
	most := 1
	for _, v := range voices {
		most = max(most, v.Kept+v.Removed+v.Undecided)
	}
	for n := range voices {
		voices[n].draw(most)
	}
	return voices, more
}

func (v *voice) draw(most int) {
	v.KeptWidth = place(float64(v.Kept) / float64(most))
	v.RemovedX = v.KeptWidth
	v.RemovedWidth = place(float64(v.Removed) / float64(most))
	v.Rest = place(float64(v.Undecided) / float64(most))
}
