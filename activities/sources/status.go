package sources

import (
	"context"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy/provision"
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
	status := messages.SourceStatus{
		Name: name, Read: known.ReadAt, People: known.People, Groups: known.Groups, Memberships: known.Memberships,
		Missing: missing, Problem: known.Problem, Failing: known.Failing, Suspect: known.Suspect,
		Lacks: lacks,
	}
	if spec := s.Policy.Source(name); spec != nil && spec.Kind.Pushed() {
		status.Posts, status.Posted, status.Quiet = true, known.Posted, quiet(s, spec, known)
		status.Refused, status.RefusedAt, status.RefusedFor = known.Refused, known.RefusedAt, known.RefusedCode
	}
	return status, nil
}

// quiet reports whether a source that posts has posted nothing for longer than the policy expects.
func quiet(s *session.Session, spec *provision.Source, known ledger.Source) bool {
	return !known.Posted.IsZero() && s.Now().Sub(known.Posted) > spec.Quiet.Std()
}
