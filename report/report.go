package report

import "time"

// Report is what one look at an organization found, in tables.
type Report struct {
	Title    string    `json:"title"`
	Org      string    `json:"org"`
	ID       string    `json:"id"`
	At       time.Time `json:"at"`     // shown in UTC
	Policy   string    `json:"policy"` // the hash of the policy in force; empty: none
	Facts    []Fact    `json:"facts"`
	Sections []Section `json:"sections"` // shown in this order
	Past     []Past    `json:"past"`     // earlier reports, oldest first, at most MostPast
}

// Fact is a key figure, as it is shown: "People", "10,000".
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Section is one table, and what to do about what stands in it.
type Section struct {
	Key        string     `json:"key"` // stable, in kebab-case; CSV keeps "report" for itself
	Title      string     `json:"title"`
	About      string     `json:"about"` // one or two sentences: what this is and what to do about it
	Severity   Severity   `json:"severity"`
	Columns    []string   `json:"columns"`
	Rows       [][]string `json:"rows"`                 // each as long as Columns
	Identity   int        `json:"identity,omitempty"`   // how many of a row's first cells are its identity; 0: one
	Count      int        `json:"count"`                // of all; more than Rows where those were cut
	Incomplete string     `json:"incomplete,omitempty"` // why this could not be looked at; Count then says nothing
	New        int        `json:"new"`                  // rows that came since the report before; Unknown: not known
	Gone       int        `json:"gone"`                 // rows that went since then; Unknown: not known
}

// Past is what is kept of an earlier report.
type Past struct {
	ID     string         `json:"id"`
	At     time.Time      `json:"at"`
	Counts map[string]int `json:"counts"` // by section key; a section that was incomplete is not in it
}

// Severity says what a section asks of its reader.
type Severity string

const (
	Act  Severity = "act"  // something to put right
	Look Severity = "look" // something to judge
	Know Severity = "know" // something to be aware of
)

const (
	// MostPast is how many earlier reports one remembers: a year of weekly ones.
	MostPast = 52
	// Unknown is what New and Gone are where nothing can be said.
	Unknown = -1
)

// cut tells whether there are more rows than the section shows.
func (s Section) cut() bool { return s.Incomplete == "" && s.Count > len(s.Rows) }
