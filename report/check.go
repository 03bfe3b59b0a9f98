package report

import (
	"fmt"
	"regexp"
)

var keyPattern = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// reportKey is the section key of CSV's line about the report itself.
const reportKey = "report"

// Check returns an error that names the malformed section and row (from 1). The three formats and Read check first, so
// that none of them writes half a report.
func (r Report) Check() error {
	if len(r.Past) > MostPast {
		return fmt.Errorf("report: %d earlier reports; at most %d are kept", len(r.Past), MostPast)
	}
	seen := make(map[string]bool, len(r.Sections))
	for i, s := range r.Sections {
		switch {
		case !keyPattern.MatchString(s.Key):
			return fmt.Errorf("report: section %d: the key %q is not in kebab-case", i+1, s.Key)
		case s.Key == reportKey:
			return fmt.Errorf("report: section %d: the key %q is kept for the report itself", i+1, s.Key)
		case seen[s.Key]:
			return fmt.Errorf("report: two sections have the key %q", s.Key)
		}
		seen[s.Key] = true
		if err := s.check(); err != nil {
			return fmt.Errorf("report: section %q%w", s.Key, err)
		}
	}
	return nil
}

func (s Section) check() error {
	if s.Severity != Act && s.Severity != Look && s.Severity != Know {
		return fmt.Errorf(": severity %q is none of act, look and know", string(s.Severity))
	}
	if len(s.Rows) > 0 && len(s.Columns) == 0 {
		return fmt.Errorf(": it has rows and no columns")
	}
	for i, row := range s.Rows {
		if len(row) != len(s.Columns) {
			return fmt.Errorf(", row %d: it has %d cells, and the section has %d columns", i+1, len(row),
				len(s.Columns))
		}
	}
	if s.Incomplete == "" && s.Count < len(s.Rows) {
		return fmt.Errorf(": count is %d, and it has %d rows", s.Count, len(s.Rows))
	}
	return nil
}
