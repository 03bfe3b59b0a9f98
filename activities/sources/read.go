package sources

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy/attribute"
	"github.com/castellan-io/castellan/policy/provision"
	"github.com/castellan-io/castellan/source"
)

// watch is one source being kept up to date.
type watch struct {
	*session.Session
	spec   *provision.Source
	source source.Source
	email  *attribute.Expression

	state   ledger.Source
	missing int   // people, groups and memberships that the last read did not show
	number  int64 // of the read that was begun last
	tries   int   // reads that failed in a row
}

func newWatch(s *session.Session, in WatchInput) (*watch, error) {
	w := &watch{Session: s, spec: s.Policy.Source(in.Source)}
	if w.spec == nil {
		return nil, session.NonRetryable(session.ErrPolicy, fmt.Errorf("policy %s has no source %s", in.Policy, in.Source))
	}
	var err error
	if w.source, err = s.OpenSource(in.Source); err != nil {
		return nil, err
	}
	if w.email, err = attribute.CompileValue(w.spec.Email); err != nil {
		return nil, session.NonRetryable(session.ErrPolicy, err)
	}
	return w, nil
}

// touched is who is to be looked at because of a read.
type touched struct {
	people     []string // account ids
	identities []string // "source:key", whether they have an account or not
	full       string
}

func (t touched) any() bool { return len(t.people)+len(t.identities) > 0 || t.full != "" }

// read is one complete read.
type read struct {
	*watch
	people, groups map[string]string // digests of the ledger, without those that the read has shown
	confirmed      int               // people who were looked up
	touched        ledger.Touched
}

// read reads the whole source into the ledger. What changed is recorded page by page: each row is a fact by itself.
// What is missing counts only once the read is complete.
func (w *watch) read(ctx context.Context) (touched, error) {
	number, err := w.Ledger.BeginSourceRead(ctx, w.Org, w.spec.Name, w.Now())
	if err != nil {
		return touched{}, err
	}
	w.number = number
	r := &read{watch: w}
	if r.people, r.groups, err = w.Ledger.SourceDigests(ctx, w.Org, w.spec.Name); err != nil {
		return touched{}, err
	}
	proof, err := w.source.Read(ctx, func(p source.Page) error { return r.page(ctx, p) })
	if err == nil {
		err = ctx.Err() // a reader whose context ended must not have seen everything
	}
	if err != nil {
		return touched{}, session.WrapSourceError("read source "+w.spec.Name, err)
	}
	if err := r.end(ctx, proof); err != nil {
		return touched{}, err
	}
	first := w.state.Read == 0
	if w.state, err = w.Ledger.Source(ctx, w.Org, w.spec.Name); err != nil {
		return touched{}, err
	}
	w.tries = 0
	if w.state.Suspect == "" {
		if err := r.conclude(ctx); err != nil {
			return touched{}, err
		}
	}
	if first {
		return touched{full: "source " + w.spec.Name + " was read for the first time"}, nil
	}
	return r.whom(ctx)
}

// page records what a page shows and the ledger does not have like that.
func (r *read) page(ctx context.Context, p source.Page) error {
	var people []ledger.Identity
	for _, one := range p.People {
		row, err := r.row(one)
		if err != nil {
			return err
		}
		if was, known := r.people[one.Key]; !known || was != row.Digest {
			people = append(people, row)
		}
		delete(r.people, one.Key)
	}
	people, err := r.confirmDisabled(ctx, people)
	if err != nil {
		return err
	}
	for _, some := range session.Chunks(people, rowsAtOnce) {
		t, err := r.Ledger.SaveIdentities(ctx, r.Org, r.spec.Name, r.number, some, r.Now())
		if err != nil {
			return err
		}
		r.touched.Add(t)
	}
	var groups []ledger.SourceGroup
	for _, g := range p.Groups {
		row := ledger.SourceGroup{Source: r.spec.Name, Key: g.Key, Name: r.spec.Name + ":" + g.Name, Members: g.Members}
		row.Digest = digest(row.Name, row.Members)
		if was, known := r.groups[g.Key]; !known || was != row.Digest {
			groups = append(groups, row)
		}
		delete(r.groups, g.Key)
	}
	if len(groups) == 0 {
		return nil
	}
	t, err := r.Ledger.SaveSourceGroups(ctx, r.Org, r.spec.Name, r.number, groups, r.Now())
	r.touched.Add(t)
	return err
}

// rowsAtOnce is how many identities one transaction writes.
const rowsAtOnce = 500

// row is somebody as the ledger keeps them.
func (r *read) row(one source.Identity) (ledger.Identity, error) {
	attributes, err := json.Marshal(one.Attributes)
	if err != nil {
		return ledger.Identity{}, fmt.Errorf("%w: the attributes of %s: %w", source.ErrMalformed, one.Key, err)
	}
	asked := &attribute.Subject{Source: r.spec.Name, Key: one.Key, Enabled: one.Enabled, Attributes: one.Attributes}
	row := ledger.Identity{Source: r.spec.Name, Key: one.Key, Enabled: one.Enabled, Attributes: attributes}
	if row.Address, err = r.email.Value(asked); err != nil {
		row.Address = "" // nobody is linked by an address that cannot be told
	}
	in := true // the scope may ask for groups, which are not known yet: it is asked when somebody is decided
	row.InScope = &in
	row.Digest = digest(row.Address, row.Enabled, string(attributes))
	return row, nil
}

func digest(of ...any) string {
	hash := sha256.New()
	_ = json.NewEncoder(hash).Encode(of) // a hash takes everything, and these are plain data
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// confirmDisabled asks again about people who counted as enabled and are disabled now: they lose access after this one
// read. Whom the look-up does not confirm is left as the ledger has them, until the next read. More than mostConfirmed
// are recorded as they are, since the guard judges what follows from so many.
func (r *read) confirmDisabled(ctx context.Context, rows []ledger.Identity) ([]ledger.Identity, error) {
	var keys []string
	for _, row := range rows {
		if _, known := r.people[row.Key]; known && row.Enabled != nil && !*row.Enabled {
			keys = append(keys, row.Key)
		}
	}
	if len(keys) == 0 || r.confirmed+len(keys) > mostConfirmed {
		return rows, nil
	}
	var refs []ledger.Ref
	for _, key := range keys {
		refs = append(refs, ledger.Ref{Source: r.spec.Name, Key: key})
	}
	before, err := r.Ledger.Identities(ctx, r.Org, refs)
	if err != nil {
		return nil, err
	}
	doubted := map[string]bool{}
	for _, was := range before {
		key := was.Key
		if was.Enabled != nil && !*was.Enabled {
			continue
		}
		r.confirmed++
		now, err := r.source.Lookup(ctx, key)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		doubted[key] = err != nil && !errors.Is(err, source.ErrGone) ||
			err == nil && (now.Enabled == nil || *now.Enabled)
	}
	return slices.DeleteFunc(rows, func(row ledger.Identity) bool { return doubted[row.Key] }), nil
}

// end records that the read was complete, and who is missing, unless that cannot be believed.
func (r *read) end(ctx context.Context, proof source.Proof) error {
	end := ledger.End{
		As: proof.As, People: proof.People, Groups: proof.Groups, Memberships: proof.Memberships,
		MissingPeople: session.SortedKeys(r.people), MissingGroups: session.SortedKeys(r.groups),
	}
	end.Suspect = r.doubt(end)
	return r.Ledger.EndSourceRead(ctx, r.Org, r.spec.Name, r.number, end, r.Now())
}

// doubt returns why what a complete read lacks is not believed; "" if it is. Compared with the last read that was
// believed, it must not lack too many, and whoever reads must be the same.
func (r *read) doubt(end ledger.End) string {
	was, limit := r.state.Good, r.Policy.Guard.Source
	missing := r.missing + len(end.MissingPeople) + len(end.MissingGroups) // before, and now
	switch lost := was.People - end.People; {
	case was.Read == 0 || missing == 0:
		return ""
	case was.As != end.As:
		return fmt.Sprintf("%d people and groups are missing since it is read with other credentials, or from another place or in another scope",
			missing)
	case was.People >= limit.Minimum && limit.Share.Exceeded(lost, was.People):
		return fmt.Sprintf("it went from %d to %d people; the limit is %s (guard.source.share)", was.People, end.People,
			limit.Share)
	}
	return ""
}

// conclude takes what two complete reads did not show, long enough apart, out of the replica; people only if a look-up
// says that they are gone.
func (r *read) conclude(ctx context.Context) error {
	before := r.state.ReadAt.Add(-r.Policy.Guard.Settle.Std())
	t, err := r.Ledger.ConcludeMissing(ctx, r.Org, r.spec.Name, before)
	if err != nil {
		return err
	}
	r.touched.Add(t)
	missing, err := r.Ledger.MissingIdentities(ctx, r.Org, r.spec.Name, before, "", mostConfirmed)
	if err != nil {
		return err
	}
	for _, one := range missing {
		state := ledger.StateOutOfScope
		switch _, err := r.source.Lookup(ctx, one.Key); {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, source.ErrGone):
			state = ledger.StateGone
		case err != nil:
			continue // it is not known: asked again after the next read
		}
		t, err := r.Ledger.SetIdentityState(ctx, r.Org, r.spec.Name, one.Key, state, r.Now())
		if err != nil {
			return err
		}
		r.touched.Add(t)
	}
	return nil
}

// mostConfirmed is how many people are looked up in one read.
const mostConfirmed = 200

// whom returns the accounts to look at. Identities without one are linked by their address, where that is possible.
func (r *read) whom(ctx context.Context) (touched, error) {
	if r.touched.More || len(r.touched.Accounts)+len(r.touched.Unbound) > mostTouched {
		return touched{full: "more of source " + r.spec.Name + " changed than is looked at person by person"}, nil
	}
	t := touched{people: slices.Clone(r.touched.Accounts)}
	bound, err := r.Ledger.IdentitiesOf(ctx, r.Org, t.people)
	if err != nil {
		return touched{}, err
	}
	for _, account := range session.SortedKeys(bound) {
		for _, one := range bound[account] {
			if one.Source == r.spec.Name {
				t.identities = append(t.identities, one.Ref().String())
			}
		}
	}
	unbound, err := r.Ledger.Identities(ctx, r.Org, r.touched.Unbound)
	if err != nil {
		return touched{}, err
	}
	var addresses []string
	for _, one := range unbound {
		t.identities = append(t.identities, one.Ref().String())
		if one.Address != "" && !one.Unexplained {
			addresses = append(addresses, one.Address)
		}
	}
	b, _, err := r.Watched(ctx)
	if err != nil || b == nil || len(addresses) == 0 {
		return t, err // without an outline, everybody is verified soon
	}
	found, err := r.ReadPeople(ctx, addresses)
	if err != nil {
		return touched{}, err
	}
	if _, err := r.Link(ctx, b, found, true); err != nil {
		return touched{}, err
	}
	for _, p := range found {
		if len(p.Identities) > 0 {
			t.people = append(t.people, p.ID)
		}
	}
	t.people = session.EachOnce(t.people)
	return t, nil
}
