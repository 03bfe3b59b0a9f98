package main

import (
	"cmp"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// printSources prints how the identity sources of the policy stand.
func printSources(w io.Writer, s messages.OrgSyncState) {
	for _, one := range s.Settings.Sources {
		i := slices.IndexFunc(s.Sources, func(known messages.SourceStatus) bool { return known.Name == one.Name })
		if i < 0 {
			display.Fprintf(w, "  source %s: being read for the first time\n", one.Name)
			continue
		}
		known := s.Sources[i]
		if known.Read.IsZero() {
			display.Fprintf(w, "  source %s: never read completely\n", one.Name)
		} else {
			display.Fprintf(w, "  source %s: %d people, %d groups, read completely at %s\n", one.Name, known.People,
				known.Groups, localTime(known.Read))
		}
		if known.Problem != "" {
			display.Fprintf(w, "    cannot be read since %s, and nobody counts as gone: %s\n", localTime(known.Failing),
				known.Problem)
		}
		if known.Suspect != "" {
			display.Fprintf(w, "    suspect: %s; what it lacks counts once somebody accepts it:\n    %s\n", known.Suspect,
				display.Update(messages.OrgSyncID(s.Org), messages.AcceptSource,
					display.Input{{"source", one.Name}, {"by", messages.You}, {"note", ""}}))
		}
		if known.Missing > 0 {
			display.Fprintf(w, "    %d that the last read did not show are asked for again before they count as gone\n",
				known.Missing)
		}
	}
}

// printProvisions prints how the provisions of the policy stand.
func printProvisions(w io.Writer, s messages.OrgSyncState) {
	for _, one := range s.Settings.Provisions {
		i := slices.IndexFunc(s.Provisions, func(known messages.ProvisionStatus) bool { return known.Name == one.Name })
		if i < 0 {
			display.Fprintf(w, "  provision %s: not yet; it begins after the first full verification\n", one.Name)
			continue
		}
		known := s.Provisions[i]
		display.Fprintf(w, "  provision %s: %s, at %s\n", one.Name, stateCounts(known.States), localTime(known.Done))
		if p := known.Problem; p != nil {
			display.Fprintf(w, "    problem since %s: %s: %s; next attempt: %s\n", localTime(p.Since), p.Kind, p.Message,
				localTime(p.Retry))
		}
		for _, f := range known.Findings {
			display.Fprintf(w, "    noticed: %s\n", f)
		}
	}
	if len(s.Settings.Sources) > 0 {
		display.Fprintf(w, "  who is in which state: %s\n", display.Starter("identities", s.Org))
	}
}

// stateCounts lists how many people are in which state.
func stateCounts(states []messages.StateCount) string {
	var words []string
	for _, one := range states {
		words = append(words, strconv.Itoa(one.Count)+" "+one.State)
	}
	return cmp.Or(strings.Join(words, ", "), "nobody")
}
