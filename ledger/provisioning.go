package ledger

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// IdentityQuery selects a page of the identities of a provision's sources.
type IdentityQuery struct {
	Provision string
	Directory string   // the provision's
	Sources   []string // the provision's
	After     Ref      // the last one of the page before
	Limit     int      // 0: 500
	Only      []Ref    // these identities alone, whatever After and Limit say
}

// IdentityPage is a page of identities, with what may belong to them: the records that may be theirs, and others that
// may be the same people.
type IdentityPage struct {
	Identities []BoundIdentity // by source and key
	// Related are further identities of the sources that have the account, the record or the address of one of these.
	Related []BoundIdentity
	// Records are those that any of these identities is bound to, or whose account, address or external id is that of
	// one of them.
	Records  []Record
	Bindings []Binding // in the provision: of these identities, and of these records; those that are lost, too
}

// IdentityPage returns the next page, in a bounded number of queries per 500 identities. A page without identities is
// the end.
func (l *Ledger) IdentityPage(ctx context.Context, org string, q IdentityQuery) (IdentityPage, error) {
	r := pageReader{Ledger: l, org: org, q: q, met: map[Ref]bool{}, bound: map[Ref]bool{}}
	err := r.read(ctx)
	return r.page, reading(err, "identities of provision "+q.Provision, org)
}

type pageReader struct {
	*Ledger
	q     IdentityQuery
	org   string
	page  IdentityPage
	met   map[Ref]bool // identities
	bound map[Ref]bool // identities with a binding in the page
}

func (r *pageReader) read(ctx context.Context) error {
	found, err := r.next(ctx)
	if err != nil || len(found) == 0 {
		return err
	}
	if r.page.Identities, err = r.take(ctx, found); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{r.ownBindings, r.related, r.ownBindings, r.records} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return r.explain(ctx)
}

// explain notes which bindings the chain does not explain, and adds those that it knows and that are not there.
func (r *pageReader) explain(ctx context.Context) error {
	if err := r.explainBindings(ctx, r.org, r.page.Bindings); err != nil {
		return err
	}
	var keys [][]string
	for _, i := range slices.Concat(r.page.Identities, r.page.Related) {
		if !r.bound[i.Ref()] {
			keys = append(keys, bindingKey(r.q.Provision, i.Ref()))
		}
	}
	lost, err := r.unexplainedBindings(ctx, r.org, keys)
	for _, key := range keys {
		if lost[strings.Join(key, "\x00")] {
			r.page.Bindings = append(r.page.Bindings, Binding{Provision: key[0], Source: key[1], Key: key[2],
				Unexplained: true})
		}
	}
	return err
}

// next reads the identities of the page, from one source after the other.
func (r *pageReader) next(ctx context.Context) (found []Identity, err error) {
	if len(r.q.Only) > 0 {
		where, args := amongRefs("i.org, i.source, i.key", r.org, r.q.Only)
		return r.identities(ctx, r.org, where, args...)
	}
	limit := r.q.Limit
	if limit <= 0 {
		limit = 500
	}
	for _, source := range slices.Compact(slices.Sorted(slices.Values(r.q.Sources))) {
		if source < r.q.After.Source || len(found) == limit {
			continue
		}
		after := ""
		if source == r.q.After.Source {
			after = r.q.After.Key
		}
		some, err := r.identities(ctx, r.org, `i.org = ? AND i.source = ? AND i.key > ? ORDER BY i.key LIMIT ?`, r.org,
			source, after, limit-len(found))
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	return found, nil
}

// AdoptProvision records that the first plan of a provision was approved, or that there was nothing to approve. The
// first to say so counts.
func (l *Ledger) AdoptProvision(ctx context.Context, org, provision, run, by string, at time.Time) error {
	at = orNow(at)
	return l.write(ctx, org, "adopt provision "+provision, func(w *write) error {
		if adopted, err := adoptedProvision(ctx, w.database, org, provision); err != nil || adopted {
			return err
		}
		return w.append(ctx, Entry{At: at, Kind: EntryProvisionAdopted, Run: run, Target: adoption(provision),
			Body: body(map[string]any{"by": by})})
	})
}

// ProvisionAdopted reports whether the first plan of a provision was approved. The chain says so, and nothing else.
func (l *Ledger) ProvisionAdopted(ctx context.Context, org, provision string) (bool, error) {
	adopted, err := adoptedProvision(ctx, l.reads, org, provision)
	return adopted, reading(err, "whether provision "+provision+" was adopted", org)
}

// adoption is the target of the entry about a provision's adoption, by which it is found.
func adoption(provision string) access.Entitlement {
	return access.Entitlement("provision:" + provision)
}

func adoptedProvision(ctx context.Context, d database, org, provision string) (bool, error) {
	found, err := collect(ctx, d, scanEntry, selectEntry+` WHERE org = ? AND target = ? AND kind = ? LIMIT 1`, org,
		string(adoption(provision)), EntryProvisionAdopted)
	return len(found) > 0, err
}

// take adds their groups to those identities of the sources that were not met before.
func (r *pageReader) take(ctx context.Context, found []Identity) ([]BoundIdentity, error) {
	found = slices.DeleteFunc(found, func(i Identity) bool {
		met := r.met[i.Ref()] || !slices.Contains(r.q.Sources, i.Source)
		r.met[i.Ref()] = true
		return met
	})
	return r.grouped(ctx, r.org, found)
}

// ownBindings adds the bindings of the identities.
func (r *pageReader) ownBindings(ctx context.Context) error {
	var refs []Ref
	for ref := range r.met {
		if !r.bound[ref] {
			refs = append(refs, ref)
		}
	}
	for _, some := range chunks(refs) {
		found, err := r.reads.bindingsOf(ctx, r.org, r.q.Provision, some)
		if err != nil {
			return err
		}
		r.addBindings(found)
	}
	return nil
}

func (r *pageReader) addBindings(found []Binding) {
	for _, b := range found {
		if !r.bound[b.Ref()] {
			r.bound[b.Ref()] = true
			r.page.Bindings = append(r.page.Bindings, b)
		}
	}
}

// related reads the identities that share an account, a record or an address with one of the page.
func (r *pageReader) related(ctx context.Context) error {
	accounts, addresses, records := r.known()
	var refs []Ref
	for provision, bound := range map[string][]string{"": accounts, r.q.Provision: records} {
		for _, some := range chunks(bound) {
			found, err := r.reads.boundTo(ctx, r.org, provision, some)
			if err != nil {
				return err
			}
			for _, b := range found {
				refs = append(refs, b.Ref())
			}
		}
	}
	var found []Identity
	read := func(where string, args []any) error {
		some, err := r.identities(ctx, r.org, where, args...)
		found = append(found, some...)
		return err
	}
	for _, some := range chunks(refs) {
		if err := read(amongRefs("i.org, i.source, i.key", r.org, some)); err != nil {
			return err
		}
	}
	for _, some := range chunks(addresses) {
		if err := read(among("i.org", "i.address_key", some, r.org)); err != nil {
			return err
		}
	}
	slices.SortFunc(found, func(a, b Identity) int { return CompareRefs(a.Ref(), b.Ref()) })
	var err error
	r.page.Related, err = r.take(ctx, found)
	return err
}

// known returns what is known of all identities so far.
func (r *pageReader) known() (accounts, addresses, records []string) {
	for _, i := range slices.Concat(r.page.Identities, r.page.Related) {
		if i.Account != "" {
			accounts = append(accounts, i.Account)
		}
		if i.Address != "" {
			addresses = append(addresses, access.FoldAddress(i.Address))
		}
	}
	for _, b := range r.page.Bindings {
		records = append(records, b.Record)
	}
	return accounts, addresses, records
}

// records reads the records of all identities, and whose these are.
func (r *pageReader) records(ctx context.Context) error {
	q := RecordQuery{}
	q.Accounts, q.Addresses, q.IDs = r.known()
	for ref := range r.met {
		q.Externals = append(q.Externals, ref.Key)
	}
	var err error
	if r.page.Records, err = r.FindRecords(ctx, r.org, r.q.Directory, q); err != nil {
		return err
	}
	ids := make([]string, len(r.page.Records))
	for n, record := range r.page.Records {
		ids[n] = record.ID
	}
	for _, some := range chunks(ids) {
		found, err := r.reads.boundTo(ctx, r.org, r.q.Provision, some)
		if err != nil {
			return err
		}
		r.addBindings(found)
	}
	return nil
}
