package sources

import (
	"context"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// Status returns what ops see of a source.
func Status(ctx context.Context, s *session.Session, name string) (messages.SourceStatus, error) {
	known, err := s.Ledger.Source(ctx, s.Org, name)
	if err != nil {
		return messages.SourceStatus{}, err
	}
	missing, err := s.Ledger.MissingCount(ctx, s.Org, name)
	if err != nil {
		return messages.SourceStatus{}, err
	}
	lacks := ""
	if known.Suspect != "" {
		if lacks, err = s.Ledger.Lacking(ctx, s.Org, name); err != nil {
			return messages.SourceStatus{}, err
		}
	}
	return messages.SourceStatus{
		Name: name, Read: known.ReadAt, People: known.People, Groups: known.Groups, Memberships: known.Memberships,
		Missing: missing, Problem: known.Problem, Failing: known.Failing, Suspect: known.Suspect,
		Lacks: lacks,
	}, nil
}
