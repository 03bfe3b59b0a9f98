package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// version of the JSON form. It rises when a field's meaning changes, not when one is added.
const version = 1

// JSON writes the whole report, indented, its fields always in the same order and its lists never null. Bytes that are
// no UTF-8 become U+FFFD.
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

// withLists is a copy in which empty lists stand for nil ones: who reads null must treat it apart.
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

// Read is the inverse of JSON. It refuses a version it does not know, anything after the report, and what Check
// refuses; fields it does not know it leaves out. It reads all there is: who does not trust the source sets a limit.
func Read(r io.Reader) (Report, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return Report{}, fmt.Errorf("report: reading: %w", err)
	}
	var is struct {
		Version *int `json:"version"`
	}
	// The version first: of another version, the rest may not even have these types.
	switch err := json.Unmarshal(data, &is); {
	case err != nil:
		return Report{}, fmt.Errorf("report: this is not a report: %w", err)
	case is.Version == nil:
		return Report{}, errors.New("report: this is not a report: it has no version")
	case *is.Version != version:
		return Report{}, fmt.Errorf("report: it is of version %d; this program reads version %d", *is.Version, version)
	}
	var report Report
	if err := json.Unmarshal(data, &report); err != nil {
		return Report{}, fmt.Errorf("report: this is not a report: %w", err)
	}
	return report, report.Check()
}
