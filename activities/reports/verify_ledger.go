package reports

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// chainAtOnce is how many entries of a chain are checked between two heartbeats.
const chainAtOnce = 5000

// chained reports whether a question is to verify the chain of an unknown organization: its row may be what is missing.
func (a *Activities) chained(ctx context.Context, in messages.ReportInput) bool {
	seq, _, err := a.env.Ledger.Head(ctx, in.Org)
	return in.Kind == messages.ReportLedger && err == nil && seq > 0
}

// checkLedger recomputes an organization's chain, compares the tables with it, and the chain with a head that was kept
// elsewhere.
func (a *Activities) checkLedger(ctx context.Context, in messages.ReportInput, answer *messages.ReportAnswer) error {
	number, hash, err := parseHead(in.Head)
	if err != nil {
		return session.NonRetryable(session.ErrUnknown, err)
	}
	result := &messages.LedgerCheck{}
	answer.Ledger = result
	if err := a.checkChain(ctx, in.Org, result); err != nil {
		return err
	}
	if result.Broken == "" && number > 0 {
		is, err := a.env.Ledger.HashOf(ctx, in.Org, number)
		switch {
		case errors.Is(err, ledger.ErrNotFound):
			result.Broken = fmt.Sprintf("entry %d: it is not there, and had the hash %s when its head was kept: the chain was cut", number, hash)
		case err != nil:
			return err
		case is != hash:
			result.Broken = fmt.Sprintf("entry %d: it has the hash %s, and had %s when its head was kept: what came before it was rewritten", number, is, hash)
		}
	}
	rows, err := a.env.Ledger.VerifyRows(ctx, in.Org, func(seq int64) { activity.RecordHeartbeat(ctx, seq) })
	if err != nil {
		return err
	}
	result.Rows, result.Before, result.Unexplained = rows.Rows, rows.Before, rows.Unexplained
	for _, row := range rows.First {
		result.Named = append(result.Named, row.String())
	}
	result.Whole = result.Broken == "" && result.Unexplained == 0
	answer.Message = ledgerInWords(in.Org, *result)
	return nil
}

func (a *Activities) checkChain(ctx context.Context, org string, result *messages.LedgerCheck) error {
	for from := int64(1); ; {
		check, err := a.env.Ledger.VerifyChain(ctx, org, from, chainAtOnce)
		if err != nil {
			return err
		}
		result.Entries, result.Head = check.To, check.Head
		if check.Broken != nil {
			result.Broken = fmt.Sprintf("entry %d: %s", check.Broken.Seq, check.Broken.Why)
		}
		if check.Broken != nil || !check.More {
			return nil
		}
		from = check.To + 1
		activity.RecordHeartbeat(ctx, from)
	}
}

func ledgerInWords(org string, c messages.LedgerCheck) string {
	if c.Whole {
		words := fmt.Sprintf("the ledger of organization %s is whole: %d entries, head %s; %d rows are as its chain says", org, c.Entries, c.Head, c.Rows)
		if c.Before > 0 {
			words += fmt.Sprintf(", %d of them as they were when the ledger began to record rows", c.Before)
		}
		return words
	}
	var lines []string
	if c.Broken != "" {
		lines = append(lines, "the ledger of organization "+org+" is broken at "+c.Broken)
	}
	if c.Unexplained > 0 {
		lines = append(lines, fmt.Sprintf("the chain of organization %s does not explain %d rows of its ledger:", org,
			c.Unexplained))
		for _, row := range c.Named {
			lines = append(lines, "  "+row)
		}
		if n := c.Unexplained - int64(len(c.Named)); n > 0 {
			lines = append(lines, fmt.Sprintf("  and %d more", n))
		}
	}
	return strings.Join(lines, "\n")
}

// parseHead parses an entry's number and hash, N:HASH.
func parseHead(text string) (number int64, hash string, err error) {
	if text == "" {
		return 0, "", nil
	}
	n, hash, _ := strings.Cut(strings.TrimSpace(text), ":")
	number, err = strconv.ParseInt(n, 10, 64)
	if err != nil || number < 1 || !strings.HasPrefix(hash, "sha256:") {
		return 0, "", fmt.Errorf("%.100q is no head: write an entry's number and its hash, such as 1234:sha256:…, as verify-ledger printed them", text)
	}
	return number, hash, nil
}
