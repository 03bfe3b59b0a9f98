package access

import (
	"fmt"
	"strings"
)

// Finding is something a run noticed that a person should know.
type Finding struct {
	Rule    string `json:"rule"`    // stable key, for example uncovered-group
	Subject string `json:"subject"` // what it is about, for example a group's name
	Detail  string `json:"detail"`  // what was seen and what to do
	// true for a policy error: what it concerns is left alone until the error is fixed
	Blocks bool `json:"blocks,omitempty"`
	Whole  bool `json:"whole,omitempty"` // only a full verification can tell: it stays until the next one
}

// String returns the finding in one line.
func (f Finding) String() string { return f.Rule + " " + f.Subject + ": " + f.Detail }

// subjectsShown is how many subjects a summary names; it counts the others.
const subjectsShown = 8

// Summarize returns findings in at most so many lines. Findings of one rule with the same detail share a line, which
// names the first of their subjects.
func Summarize(findings []Finding, most int) []string {
	type shared struct{ rule, detail string }
	subjects := map[shared][]string{}
	var order []shared
	for _, f := range findings {
		key := shared{f.Rule, f.Detail}
		if subjects[key] == nil {
			order = append(order, key)
		}
		subjects[key] = append(subjects[key], f.Subject)
	}
	var lines []string
	for i, key := range order {
		if i == most {
			break
		}
		names := subjects[key]
		line := key.rule
		if len(names) > 1 {
			line += fmt.Sprintf(" (%d)", len(names))
		}
		line += " " + strings.Join(names[:min(len(names), subjectsShown)], ", ")
		if len(names) > subjectsShown {
			line += fmt.Sprintf(" and %d more", len(names)-subjectsShown)
		}
		lines = append(lines, line+": "+key.detail)
	}
	return lines
}
