package report_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/report"
)

func TestCheckRefusesMalformedReports(t *testing.T) {
	good := func() report.Section {
		return report.Section{Key: "a-key", Severity: report.Act, Columns: []string{"Person", "Group"},
			Rows: [][]string{{"a", "b"}, {"c", "d"}}, Count: 2}
	}
	for want, spoil := range map[string]func(*report.Report){
		`report: section "a-key", row 2: it has 1 cells, and the section has 2 columns`: func(
			r *report.Report) {
			r.Sections[0].Rows[1] = []string{"c"}
		},
		`report: section "a-key", row 1: it has 3 cells, and the section has 2 columns`: func(
			r *report.Report) {
			r.Sections[0].Rows[0] = []string{"a", "b", "c"}
		},
		`report: section "a-key": it has rows and no columns`: func(
			r *report.Report) {
			r.Sections[0].Columns = nil
		},
		`report: section "a-key": count is 1, and it has 2 rows`: func(
			r *report.Report) {
			r.Sections[0].Count = 1
		},
		`report: section "a-key": severity "high" is none of act, look and know`: func(
			r *report.Report) {
			r.Sections[0].Severity = "high"
		},
		`report: section 1: the key "A key" is not in kebab-case`: func(
			r *report.Report) {
			r.Sections[0].Key = "A key"
		},
		`report: section 1: the key "" is not in kebab-case`: func(
			r *report.Report) {
			r.Sections[0].Key = ""
		},
		`report: section 1: the key "report" is kept for the report itself`: func(
			r *report.Report) {
			r.Sections[0].Key = "report"
		},
		`report: two sections have the key "a-key"`: func(
			r *report.Report) {
			r.Sections = append(r.Sections, good())
		},
		`report: 53 earlier reports; at most 52 are kept`: func(
			r *report.Report) {
			r.Past = make([]report.Past, 53)
		},
		`report: section "b", row 1: it has 0 cells, and the section has 1 columns`: func(r *report.Report) {
			r.Sections = append(r.Sections,
				report.Section{Key: "b", Severity: report.Know, Columns: []string{"x"}, Rows: [][]string{{}}, Count: 1})
		},
	} {
		r := report.Report{Sections: []report.Section{good()}}
		require.NoError(t, r.Check())
		spoil(&r)
		require.EqualError(t, r.Check(), want)
		for form, write := range formats(r) {
			var out bytes.Buffer
			require.EqualError(t, write(&out), want, form)
			require.Empty(t, out.Bytes(), "%s wrote part of a report", form)
		}
	}
}

func TestCheckAllowsAnyCountOfAnIncompleteSection(t *testing.T) {
	r := report.Report{Sections: []report.Section{{Key: "a", Severity: report.Act, Columns: []string{"x"},
		Rows: [][]string{{"1"}}, Incomplete: "refused"}}}
	require.NoError(t, r.Check())
}

func TestFormatsReturnWriteErrors(t *testing.T) {
	for form, write := range formats(sample(t, 1)) {
		for _, room := range []int{0, 2, 5000} {
			require.ErrorIs(t, write(&limitedWriter{room: room}), io.ErrShortWrite, "%s, %d bytes", form, room)
		}
	}
}

// TestFormatsAreDeterministic: evidence is compared by its hash.
func TestFormatsAreDeterministic(t *testing.T) {
	for form, write := range formats(sample(t, 3)) {
		var one, two bytes.Buffer
		require.NoError(t, write(&one))
		require.NoError(t, write(&two))
		require.Equal(t, one.Bytes(), two.Bytes(), form)
	}
}

func formats(r report.Report) map[string]func(io.Writer) error {
	return map[string]func(io.Writer) error{"JSON": r.JSON, "CSV": r.CSV, "HTML": r.HTML}
}

// limitedWriter takes so many bytes and no more.
type limitedWriter struct{ room int }

func (w *limitedWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.room)
	w.room -= n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}
