package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// version of the JSON format. It increases when a field's meaning changes, not when a field is added.
const version = 1

// JSON writes the whole report, indented, its fields always in the same order and its lists never null. Invalid UTF-8
// becomes U+FFFD.
func (r Report) JSON(w io.Writer) error {
	if err := r.Check(); err != nil {
		return err
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Version int `json:"version"`
		Report
	}{version, r.withLists()})
}

// withLists returns a copy with empty lists instead of nil ones, so that readers need not handle null.
func (r Report) withLists() Report {
	r.At = r.At.UTC()
	r.Facts = append([]Fact{}, r.Facts...)
	r.Past = append([]Past{}, r.Past...)
	for i := range r.Past {
		r.Past[i].At = r.Past[i].At.UTC()
		if r.Past[i].Counts == nil {
			r.Past[i].Counts = map[string]int{}
		}
	}
	r.Sections = append([]Section{}, r.Sections...)
	for i := range r.Sections {
		s := &r.Sections[i]
		s.Columns = append([]string{}, s.Columns...)
		s.Rows = append([][]string{}, s.Rows...)
	}
	return r
}

// Read is the inverse of JSON. It refuses unknown versions, anything after the report, and what Check refuses, and
// ignores unknown fields. It reads everything: limit untrusted sources.
func Read(r io.Reader) (Report, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return Report{}, fmt.Errorf("report: reading: %w", err)
	}
	var header struct {
		Version *int `json:"version"`
	}
	// The version first: the fields of another version may have other types.
	switch err := json.Unmarshal(data, &header); {
	case err != nil:
		return Report{}, fmt.Errorf("report: this is not a report: %w", err)
	case header.Version == nil:
		return Report{}, errors.New("report: this is not a report: it has no version")
	case *header.Version != version:
		return Report{}, fmt.Errorf("report: it is of version %d; this program reads version %d", *header.Version, version)
	}
	var report Report
	if err := json.Unmarshal(data, &report); err != nil {
		return Report{}, fmt.Errorf("report: this is not a report: %w", err)
	}
	return report, report.Check()
}
