package ledger

import "context"

// KeepPolicy keeps a version without taking it into force, for a preview. It leaves no entry in the chain.
func (l *Ledger) KeepPolicy(ctx context.Context, v PolicyVersion) error {
	return l.write(ctx, v.Org, "keep policy "+v.Hash, func(w *write) error {
		_, err := w.exec(ctx, `INSERT INTO policies (org, hash, body, source, org_id, directory, by_whom, at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (org, hash) DO NOTHING`,
			v.Org, v.Hash, string(v.Body), string(v.Source), v.OrgID, v.Directory, v.By, instant(orNow(v.At)))
		return err
	})
}
