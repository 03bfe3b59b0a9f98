package activitytest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/reports"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/report"
)

// Govern looks at the organization as a whole.
func (o *SimulatedOrg) Govern() report.Report {
	o.T.Helper()
	begin := Must[reports.GovernStart](o, o.Acts.Reports.GovernBegin, Org)
	id := o.Clock().Format("20060102-150405.000")
	for block, cursor := 0, ""; block == 0 || cursor != ""; block++ {
		cursor = Must[session.SweepResult](o, o.Acts.Reports.Govern,
			reports.GovernInput{Org: Org, Policy: begin.Policy, Report: id, Cursor: cursor, Block: block,
				Pages: 1}).Next
	}
	Must[messages.Governance](o, o.Acts.Reports.GovernEnd,
		reports.GovernEndInput{Org: Org, Policy: begin.Policy, Report: id, Started: o.Clock(), Scheduled: true})
	o.Advance(time.Minute)
	r, err := report.Read(bytes.NewReader(o.Document(id, "json")))
	require.NoError(o.T, err)
	return r
}

// Document is a kept report in one of its forms.
func (o *SimulatedOrg) Document(id, format string) []byte {
	o.T.Helper()
	answer := Must[messages.ReportAnswer](o, o.Acts.Reports.Answer,
		messages.ReportInput{Org: Org, Kind: messages.ReportFindings, ID: id, Format: format})
	unpacked, err := gzip.NewReader(bytes.NewReader(answer.Report.Document))
	require.NoError(o.T, err)
	whole, err := io.ReadAll(unpacked)
	require.NoError(o.T, err)
	return whole
}

// Found are the rows of a section, each as one text.
func Found(t *testing.T, r report.Report, key string) []string {
	t.Helper()
	i := slices.IndexFunc(r.Sections, func(s report.Section) bool { return s.Key == key })
	require.GreaterOrEqual(t, i, 0, key)
	require.Empty(t, r.Sections[i].Incomplete)
	var rows []string
	for _, row := range r.Sections[i].Rows {
		rows = append(rows, strings.TrimSpace(strings.Join(row, " | ")))
	}
	return rows
}

func (o *SimulatedOrg) Failed(in messages.ReportInput) error {
	_, err := Call[messages.ReportAnswer](o, o.Acts.Reports.Answer, in)
	return err
}

// Pages asks until there is no more, and returns the answers; each of them can be sent.
func (o *SimulatedOrg) Pages(in messages.ReportInput) (all []messages.ReportAnswer) {
	o.T.Helper()
	for {
		answer := Must[messages.ReportAnswer](o, o.Acts.Reports.Answer, in)
		text, err := json.Marshal(answer)
		require.NoError(o.T, err)
		require.LessOrEqual(o.T, len(text), 1<<20)
		all = append(all, answer)
		if in.After = answer.Next; in.After == "" {
			return all
		}
		require.Less(o.T, len(all), 500)
	}
}

func (o *SimulatedOrg) Ask(in messages.ReportInput) messages.ReportAnswer {
	o.T.Helper()
	in.Org = Org
	var answer messages.ReportAnswer
	before := o.Sim.Stats().Writes
	answer = Must[messages.ReportAnswer](o, o.Acts.Reports.Answer, in)
	require.Equal(o.T, before, o.Sim.Stats().Writes)
	require.Equal(o.T, in.Kind, answer.Kind)
	require.NotEmpty(o.T, answer.Message)
	return answer
}
