package report

import "time"

// Report is what was found in an organization, as tables.
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

// Section is one table, and what to do about its rows.
type Section struct {
	Key        string     `json:"key"` // stable, in kebab-case; "report" is reserved
	Title      string     `json:"title"`
	About      string     `json:"about"` // one or two sentences: what this is and what to do about it
	Severity   Severity   `json:"severity"`
	Columns    []string   `json:"columns"`
	Rows       [][]string `json:"rows"`                 // each as long as Columns
	Identity   int        `json:"identity,omitempty"`   // how many of a row's first cells are its identity; 0: one
	Count      int        `json:"count"`                // of all rows; larger than len(Rows) if those were cut
	Incomplete string     `json:"incomplete,omitempty"` // why this could not be determined; Count is then meaningless
	New        int        `json:"new"`                  // rows added since the previous report, or Unknown
	Gone       int        `json:"gone"`                 // rows gone since then, or Unknown
}

// Past is what is kept of an earlier report.
type Past struct {
	ID     string         `json:"id"`
	At     time.Time      `json:"at"`
	Counts map[string]int `json:"counts"` // by section key, without incomplete sections
}

// Severity is what a section asks of its reader.
type Severity string

const (
	Act  Severity = "act"  // something to put right
	Look Severity = "look" // something to judge
	Know Severity = "know" // something to be aware of
)

const (
	// MostPast is how many earlier reports are kept in a report: a year of weekly ones.
	MostPast = 52
	// Unknown is the value of New and Gone if they are not known.
	Unknown = -1
)

// cut reports whether the section lacks rows.
func (s Section) cut() bool { return s.Incomplete == "" && s.Count > len(s.Rows) }
