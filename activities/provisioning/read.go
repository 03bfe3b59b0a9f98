package provisioning

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// ReadInput begins a run over records.
type ReadInput struct {
	RunInput
	Trigger    string    `json:"trigger"`
	By         string    `json:"by,omitempty"`
	DryRun     bool      `json:"dryRun,omitempty"`
	Started    time.Time `json:"started"`
	Identities []string  `json:"identities,omitempty"` // only these; none: everybody
}

// ReadResult is what a directory showed.
type ReadResult struct {
	Records int `json:"records"`
	Calls   int `json:"calls"`
}

// ReadRecords begins a run and reads the whole SCIM directory into the ledger's replica of it; of a run about a few
// identities, only their records. A record that a complete read does not show is asked for by its id before it counts
// as gone. A repeat reads again.
//
// Calls: records/100, and one for each record that is missing, and as many for groups, if the policy syncs some; or one
// or two for each identity.
func (a *Activities) ReadRecords(ctx context.Context, in ReadInput) (ReadResult, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.env.Open(ctx, in.Org, in.Policy)
	if err != nil {
		return ReadResult{}, err
	}
	if err := s.Ledger.BeginRun(ctx, ledger.Run{Org: in.Org, ID: in.Run, Trigger: in.Trigger,
		Scope: messages.ScopeProvision, Policy: in.Policy, By: in.By, DryRun: in.DryRun, Preview: in.Preview,
		State: messages.RunReading, Started: in.Started}); err != nil {
		return ReadResult{}, err
	}
	p, err := s.OpenProvision(ctx, in.Provision)
	if err != nil {
		return ReadResult{}, err
	}
	r := &reader{Provisioner: p, directory: p.Spec.Directory.ID}
	if len(in.Identities) > 0 {
		err = r.few(ctx, refsOf(in.Identities))
	} else {
		err = r.all(ctx)
	}
	return ReadResult{Records: r.records, Calls: s.CallsMade()}, session.WrapSCIMError(
		"read SCIM directory "+r.directory, err)
}

// reader reads a SCIM directory into the ledger's replica.
type reader struct {
	*session.Provisioner
	directory string
	records   int
}

// all reads everything.
func (r *reader) all(ctx context.Context) error {
	read, err := r.Ledger.BeginDirectoryRead(ctx, r.Org, r.directory, r.Now())
	if err != nil {
		return err
	}
	known, err := r.Ledger.RecordDigests(ctx, r.Org, r.directory)
	if err != nil {
		return err
	}
	for start := 1; start > 0; {
		page, err := r.SCIM.Users(ctx, scim.UserQuery{Start: start, Count: scim.MaxPage})
		if err != nil {
			return err
		}
		var changed []ledger.Record
		for _, user := range page.Items {
			row := session.RecordOf(user)
			if known[row.ID] != row.Digest {
				changed = append(changed, row)
			}
			delete(known, row.ID)
			r.records++
		}
		if err := r.Ledger.SaveRecords(ctx, r.Org, r.directory, read, changed, r.Now()); err != nil {
			return err
		}
		activity.RecordHeartbeat(ctx, r.records)
		start = page.Next
	}
	for _, id := range session.SortedKeys(known) { // moved to an earlier page during the read, or gone
		if err := r.lookUp(ctx, id); err != nil {
			return err
		}
	}
	if err := r.readGroups(ctx); err != nil {
		return err
	}
	return r.Ledger.EndDirectoryRead(ctx, r.Org, r.directory, read, ledger.End{As: r.directory, People: r.records},
		r.Now())
}

func (r *reader) lookUp(ctx context.Context, id string) error {
	user, err := r.SCIM.User(ctx, id)
	if errors.Is(err, scim.ErrNotFound) {
		return r.Ledger.RecordGone(ctx, r.Org, r.directory, id, r.Now())
	}
	if err != nil {
		return err
	}
	return r.Keep(ctx, user)
}

// few reads the records that the ledger knows of identities, and those that have their addresses as user names.
func (r *reader) few(ctx context.Context, refs []ledger.Ref) error {
	candidates, _, err := r.Candidates(ctx, ledger.Ref{}, refs)
	if err != nil {
		return err
	}
	for _, c := range candidates {
		for _, record := range c.Records {
			if err := r.lookUp(ctx, string(record.ID)); err != nil {
				return err
			}
		}
		if len(c.Records) > 0 {
			continue
		}
		for _, address := range r.Decide.Addresses(c.Person) {
			page, err := r.SCIM.Users(ctx, scim.UserQuery{UserName: address})
			if err != nil {
				return err
			}
			for _, user := range page.Items {
				if err := r.Keep(ctx, user); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
