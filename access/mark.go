package access

import "time"

// Mark is how long a rule's condition has held for a person without a break, as runs saw it.
type Mark struct {
	Person string    `json:"person"`
	Rule   string    `json:"rule"` // the rule's key: its name and what it says
	Since  time.Time `json:"since"`
	Told   time.Time `json:"told,omitzero"` // when whom the rule names was told of it; a grace period begins here
}

// Suspension is Castellan's own suspension of a person, while it lasts.
type Suspension struct {
	Person  string    `json:"person"`
	Since   time.Time `json:"since"`
	Run     string    `json:"run"`
	Reasons []Reason  `json:"reasons,omitempty"`
}
