package policy

import (
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/access"
)

// checkReviews finds what is wrong between the keys of a campaign, and between campaigns.
func (r *reader) checkReviews(p *Policy) {
	first := map[string]int{}
	for i := range p.Reviews {
		x, path := &p.Reviews[i], fmt.Sprintf("reviews[%d]", i)
		if before, twice := first[x.Name]; twice && x.Name != "" {
			r.failAt(path+".name", "the name %q is taken by reviews[%d]; give each campaign its own", x.Name, before)
		} else {
			first[x.Name] = i
		}
		if zone := path + ".zone"; r.at[zone] != nil && r.at[path+".schedule"] == nil {
			r.failAt(zone, "nothing is scheduled, so no zone is needed; add schedule or take it away")
		}
		for j := range x.Stages {
			r.checkStage(&x.Stages[j], fmt.Sprintf("%s.stages[%d]", path, j), j == len(x.Stages)-1)
		}
		r.checkSilences(x, path)
	}
}

// checkStage finds what does not go together in one stage.
func (r *reader) checkStage(s *ReviewStage, path string, last bool) {
	after, escalate := path+".fallbackAfter", path+".escalate"
	switch {
	case r.at[after] == nil:
	case r.at[path+".fallback"] == nil:
		r.failAt(after, "there is nobody to fall back on; add fallback or take it away")
	case s.FallbackAfter >= s.Length:
		r.failAt(after, "%s is not shorter than length, %s, so the fallback would never be asked; write less",
			s.FallbackAfter, s.Length)
	}
	if s.Escalate > 0 && s.Escalate >= s.Length {
		r.failAt(escalate, "%s is not shorter than length, %s, so the owner would be asked from the start; write less, or 0s for never", s.Escalate, s.Length)
	}
	if len(s.Fallback) > 0 && slices.Equal(foldedSet(s.Fallback), foldedSet(s.Reviewers)) {
		r.failAt(path+".fallback", "these are the reviewers, who are asked already; name others")
	}
	if last && s.Next != NextUndecided {
		r.failAt(path+".next", "there is no stage after this one; take it away, or add the stage that is meant")
	}
}

// checkSilences refuses two meanings of silence for one target.
func (r *reader) checkSilences(x *Review, path string) {
	first := map[string]int{}
	for i := range x.SilenceOf {
		for _, e := range x.SilenceOf[i].Targets {
			if before, twice := first[fold(e)]; twice {
				r.failAt(r.pathOf(fmt.Sprintf("%s.silenceOf[%d].targets", path, i), e),
					"%q stands already in silenceOf[%d], which is what counts; keep one", e, before)
				continue
			}
			first[fold(e)] = i
		}
	}
}

// foldedSet is a list as far as it matters what stands in it.
func foldedSet(all []string) []string {
	folded := make([]string, len(all))
	for i, s := range all {
		folded[i] = access.Fold(s)
	}
	slices.Sort(folded)
	return folded
}
