package ledger

import (
	"context"
	"errors"
	"time"
)

// Organization is the ledger's record of an organization.
type Organization struct {
	Org       string    `json:"org"` // short name in the policy file
	OrgID     string    `json:"orgId,omitempty"`
	Directory string    `json:"directory,omitempty"`
	Policy    string    `json:"policy"` // hash of the current policy
	PolicyAt  time.Time `json:"policyAt"`
	AdoptedAt time.Time `json:"adoptedAt,omitzero"` // when the first run was approved; zero before that

	// the chain does not explain this, so that nobody knows which policy is in force
	Unexplained bool `json:"unexplained,omitempty"`
}

const selectOrganization = `SELECT org, org_id, directory, policy, policy_at, adopted_at FROM organizations`

func scanOrganization(row scanner) (o Organization, err error) {
	var policyAt, adoptedAt int64
	err = row.Scan(&o.Org, &o.OrgID, &o.Directory, &o.Policy, &policyAt, &adoptedAt)
	o.PolicyAt, o.AdoptedAt = fromInstant(policyAt), fromInstant(adoptedAt)
	return o, err
}

// Organization returns the organization, or ErrNotFound when it never had a policy.
func (l *Ledger) Organization(ctx context.Context, org string) (Organization, error) {
	o, err := first(ctx, l.reads, scanOrganization, selectOrganization+` WHERE org = ?`, org)
	if err != nil {
		return o, reading(err, "the organization", org)
	}
	explained, err := l.explainedRows(ctx, org, tableOrganizations, [][]string{{}})
	if err != nil {
		return Organization{}, reading(err, "what the chain says of the organization", org)
	}
	if o.Unexplained = !explained[""]; o.Unexplained {
		o.AdoptedAt = time.Time{}
	}
	return o, nil
}

// Organizations returns all organizations by name.
func (l *Ledger) Organizations(ctx context.Context) ([]Organization, error) {
	all, err := collect(ctx, l.reads, scanOrganization, selectOrganization+` ORDER BY org`)
	return all, reading(err, "the organizations", "all")
}

// PolicyVersion is one policy as it was applied.
type PolicyVersion struct {
	Org       string    `json:"org"`
	Hash      string    `json:"hash"`
	Body      []byte    `json:"body"`   // canonical JSON, what the hash is of
	Source    []byte    `json:"source"` // as its author wrote it
	OrgID     string    `json:"orgId,omitempty"`
	Directory string    `json:"directory,omitempty"`
	By        string    `json:"by,omitempty"`
	At        time.Time `json:"at"`
	// Names are the accounts of all names in it.
	Names []PolicyName `json:"-"`
}

// SavePolicy makes the version the organization's current policy and reports whether that changed it. Only a change is
// written to the chain; saving the current policy again only updates the accounts of its names. Names of other policies
// are deleted, and so are rows of names and of the organization that the chain does not explain: nothing is kept of
// them, and the first run has to be approved again. ErrServed: another name has its organization ID.
func (l *Ledger) SavePolicy(ctx context.Context, v PolicyVersion) (changed bool, err error) {
	at := orNow(v.At)
	err = l.write(ctx, v.Org, "save policy "+v.Hash, func(w *write) error {
		changed = false
		if err := w.setNames(ctx, v.Names, at, true); err != nil {
			return err
		}
		if err := w.forget(ctx, tableOrganizations, []any{}); err != nil {
			return err
		}
		current, err := first(ctx, w.database, scanOrganization, selectOrganization+` WHERE org = ?`, v.Org)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		fresh, claimErr := w.serve(ctx, v.OrgID, at)
		if claimErr != nil {
			return claimErr
		}
		if err == nil && current.Policy == v.Hash && !fresh {
			return w.restorePolicy(ctx, v)
		}
		v.At = at
		if err := w.insertPolicy(ctx, v, `DO UPDATE SET body = excluded.body, source = excluded.source, org_id = excluded.org_id,
			directory = excluded.directory, by_whom = excluded.by_whom, at = excluded.at`); err != nil {
			return err
		}
		if _, err := w.exec(ctx, `INSERT INTO organizations (org, org_id, directory, policy, policy_at, adopted_at)
			VALUES (?, ?, ?, ?, ?, 0)
			ON CONFLICT (org) DO UPDATE SET org_id = excluded.org_id, directory = excluded.directory,
				policy = excluded.policy, policy_at = excluded.policy_at`,
			v.Org, v.OrgID, v.Directory, v.Hash, instant(at)); err != nil {
			return err
		}
		changed = true
		return w.append(ctx, Entry{At: at, Kind: EntryPolicy, Body: body(map[string]any{
			"policy": v.Hash, "was": current.Policy, "by": v.By, "orgId": v.OrgID, "directory": v.Directory,
		})})
	})
	return changed && err == nil, err
}

// KeepPolicy stores a version without bringing it into force, for a preview. It leaves no entry in the chain; an
// existing version stays as it is.
func (l *Ledger) KeepPolicy(ctx context.Context, v PolicyVersion) error {
	v.At = orNow(v.At)
	return l.write(ctx, v.Org, "keep policy "+v.Hash, func(w *write) error {
		if err := w.insertPolicy(ctx, v, `DO NOTHING`); err != nil {
			return err
		}
		return w.restorePolicy(ctx, v)
	})
}

// restorePolicy restores the text of a hash, if something else wrote another.
func (w *write) restorePolicy(ctx context.Context, v PolicyVersion) error {
	_, err := w.exec(ctx, `UPDATE policies SET body = ? WHERE org = ? AND hash = ? AND body <> ?`, string(v.Body),
		v.Org, v.Hash, string(v.Body))
	return err
}

func (w *write) insertPolicy(ctx context.Context, v PolicyVersion, orElse string) error {
	_, err := w.exec(ctx, `INSERT INTO policies (org, hash, body, source, org_id, directory, by_whom, at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (org, hash) `+orElse,
		v.Org, v.Hash, string(v.Body), string(v.Source), v.OrgID, v.Directory, v.By, instant(v.At))
	return err
}

// Policy returns the version with the hash, or the current one for "", or ErrNotFound.
func (l *Ledger) Policy(ctx context.Context, org, hash string) (PolicyVersion, error) {
	const columns = `SELECT p.org, p.hash, p.body, p.source, p.org_id, p.directory, p.by_whom, p.at FROM policies p`
	scan := func(row scanner) (v PolicyVersion, err error) {
		var at int64
		err = row.Scan(&v.Org, &v.Hash, &v.Body, &v.Source, &v.OrgID, &v.Directory, &v.By, &at)
		v.At = fromInstant(at)
		return v, err
	}
	if hash == "" {
		v, err := first(ctx, l.reads, scan,
			columns+` JOIN organizations o ON o.org = p.org AND o.policy = p.hash WHERE p.org = ?`, org)
		return v, reading(err, "the current policy", org)
	}
	v, err := first(ctx, l.reads, scan, columns+` WHERE p.org = ? AND p.hash = ?`, org, hash)
	return v, reading(err, "policy "+hash, org)
}

// Adopt records the approval of the organization's first run, after which the guard no longer asks for it. The first
// approval stays. ErrNotFound: the organization never had a policy.
func (l *Ledger) Adopt(ctx context.Context, org, run, by string, at time.Time) error {
	at = orNow(at)
	return l.write(ctx, org, "record the adoption by run "+run, func(w *write) error {
		if err := w.touch(ctx, tableOrganizations, []any{}); err != nil {
			return err
		}
		o, err := first(ctx, w.database, scanOrganization, selectOrganization+` WHERE org = ?`, org)
		if err != nil || !o.AdoptedAt.IsZero() {
			return err
		}
		if _, err := w.exec(ctx, `UPDATE organizations SET adopted_at = ? WHERE org = ?`, instant(at),
			org); err != nil {
			return err
		}
		return w.append(ctx, Entry{At: at, Kind: EntryAdopted, Run: run, Body: body(map[string]any{"by": by})})
	})
}
