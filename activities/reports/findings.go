package reports

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/report"
)

// pieceOfDocument is how many bytes of a compressed document one answer contains.
const pieceOfDocument = 512 << 10

// findings returns a stored governance report: its summary, or a piece of its document.
func (a *Activities) findings(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	stored, err := a.env.Ledger.Report(ctx, in.Org, messages.ReportGovernance, in.ID)
	if errors.Is(err, ledger.ErrNotFound) {
		return session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("organization %s has no such governance report; `%s` makes one", in.Org,
				display.Starter("findings --now", in.Org)))
	}
	if err != nil {
		return err
	}
	r, err := report.Read(bytes.NewReader(stored.Body))
	if err != nil {
		return err
	}
	summary := summaryOf(r)
	answer.Report, answer.Message = &summary, "governance report "+r.ID
	var form func(*bytes.Buffer) error
	switch in.Format {
	case "", "summary":
		return nil
	case "json":
		form = func(out *bytes.Buffer) error { return r.JSON(out) }
	case "csv":
		form = func(out *bytes.Buffer) error { return r.CSV(out) }
	case "html":
		form = func(out *bytes.Buffer) error { return r.HTML(out) }
	default:
		return session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("unknown format %q; the formats are summary, json, csv and html", in.Format))
	}
	var document, packed bytes.Buffer
	if err := form(&document); err != nil {
		return err
	}
	zip := gzip.NewWriter(&packed)
	if _, err := zip.Write(document.Bytes()); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	from := 0
	if in.After != "" {
		if from, err = strconv.Atoi(in.After); err != nil || from < 0 || from > packed.Len() {
			return session.NonRetryable(session.ErrUnknown,
				fmt.Errorf("after %q is not what an earlier answer said", in.After))
		}
	}
	to := min(from+pieceOfDocument, packed.Len())
	summary.Document, summary.Sections = packed.Bytes()[from:to], nil
	if to < packed.Len() {
		answer.Next = strconv.Itoa(to)
	}
	return nil
}
