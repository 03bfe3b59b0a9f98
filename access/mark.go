package access

import "time"

// RuleMatch records since when a rule's condition has held for a person in every run.
type RuleMatch struct {
	Person string    `json:"person"`
	Rule   string    `json:"rule"` // the rule's key: its name and its content
	Since  time.Time `json:"since"`
	Told   time.Time `json:"told,omitzero"` // when the people that the rule names were told of it; the grace period begins here
}

// Suspension is a suspension of a person by Castellan, while it lasts.
type Suspension struct {
	Person  string    `json:"person"`
	Since   time.Time `json:"since"`
	Run     string    `json:"run"`
	Reasons []Reason  `json:"reasons,omitempty"`
}
