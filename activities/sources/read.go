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
	source source.Source // nil: it posts
	email  *attribute.Expression

	state    ledger.Source
	missing  int             // people, groups and memberships that the last read did not show
	lacks    string          // what the last read lacks, as accept-source names it; empty while it is believed
	unproved map[string]bool // people among them whom look-ups showed all the same
	asked    string          // who was looked up last; empty: the next look-ups begin with the first
	number   int64           // of the read that was begun last
	tries    int             // reads that failed in a row
	cursor   string          // up to where the source has told what changed; empty: not asked yet
	after    int64           // number of the last change whose people the workflow knows
}

func newWatch(s *session.Session, in WatchInput) (*watch, error) {
	w := &watch{Session: s, spec: s.Policy.Source(in.Source), after: in.After}
	if w.spec == nil {
		return nil, session.NonRetryable(session.ErrPolicy, fmt.Errorf("policy %s has no source %s", in.Policy, in.Source))
	}
	var err error
	if !w.spec.Kind.Pushed() {
		if w.source, err = s.OpenSource(in.Source); err != nil {
			return nil, err
		}
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
	if err := w.noteLacking(ctx); err != nil {
		return touched{}, err
	}
	if w.state.Suspect == "" {
		if err := r.conclude(ctx); err != nil {
			return touched{}, err
		}
	}
	found, err := w.whom(ctx)
	if first && err == nil {
		found = touched{full: "source " + w.spec.Name + " was read for the first time"}
	}
	return found, err
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
		if _, err := r.Ledger.SaveIdentities(ctx, r.Org, r.spec.Name, r.number, some, r.Now()); err != nil {
			return err
		}
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
	_, err = r.Ledger.SaveSourceGroups(ctx, r.Org, r.spec.Name, r.number, groups, r.Now())
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
	var refs []ledger.Ref
	for _, row := range rows {
		if row.Enabled != nil && !*row.Enabled {
			refs = append(refs, row.Ref())
		}
	}
	before, err := r.Ledger.Identities(ctx, r.Org, refs)
	if err != nil {
		return nil, err
	}
	before = slices.DeleteFunc(before,
		func(was ledger.BoundIdentity) bool { return was.Enabled != nil && !*was.Enabled })
	if r.confirmed += len(before); r.confirmed > mostConfirmed {
		return rows, nil
	}
	doubted := map[string]bool{}
	for _, was := range before {
		key := was.Key
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
		Cycles: proof.Cycles,
	}
	var err error
	if end.Suspect, err = r.doubt(ctx, end); err != nil {
		return err
	}
	return r.Ledger.EndSourceRead(ctx, r.Org, r.spec.Name, r.number, end, r.Now())
}

// doubt returns why a complete read is suspect; "" if it is not. Compared with the last read that was not, not too many
// may be missing, even if as many others are new, and the credentials must be the same.
func (r *read) doubt(ctx context.Context, end ledger.End) (string, error) {
	was, limit := r.state.Good, r.Policy.Guard.Source
	missing, err := r.Ledger.MissingCount(ctx, r.Org, r.spec.Name) // memberships of this read included
	if err != nil {
		return "", err
	}
	people, err := r.missingPeople(ctx)
	if err != nil {
		return "", err
	}
	missing += len(end.MissingPeople) + len(end.MissingGroups)
	lost := max(was.People-end.People, people+len(end.MissingPeople))
	switch {
	case was.Read == 0 || missing == 0:
	case was.As != end.As:
		return fmt.Sprintf("%d people, groups and memberships are missing, and it was read with other credentials, from another place or in another scope",
			missing), nil
	case was.People >= limit.Minimum && limit.Share.Exceeded(lost, was.People) && was.People > end.People:
		return fmt.Sprintf("it went from %d to %d people; the limit is %s (guard.source.share)", was.People, end.People,
			limit.Share), nil
	case was.People >= limit.Minimum && limit.Share.Exceeded(lost, was.People):
		return fmt.Sprintf("%d of %d people are no longer in it, and others appeared under new keys; the limit is %s (guard.source.share)",
			lost, was.People, limit.Share), nil
	}
	return "", nil
}

// missingPeople returns how many people whom a suspect read did not show are missing still; otherwise none: what they
// are compared with is a read without them.
func (r *read) missingPeople(ctx context.Context) (n int, err error) {
	if r.state.Suspect == "" {
		return 0, nil
	}
	counts, err := r.Ledger.IdentityCounts(ctx, r.Org)
	for _, c := range counts {
		if c.Source == r.spec.Name && c.State == ledger.StateMissing {
			n = c.Count
		}
	}
	return n, err
}

// conclude takes what two complete reads did not show, long enough apart, out of the replica; people only if a look-up
// says that they are gone, or the source that they are outside of what is read. Whom a look-up shows counts as it shows
// them: reads that do not show somebody prove nothing by themselves.
func (r *read) conclude(ctx context.Context) error {
	before := r.state.ReadAt.Add(-r.Policy.Guard.Settle.Std())
	if _, err := r.Ledger.ConcludeMissing(ctx, r.Org, r.spec.Name, before); err != nil {
		return err
	}
	missing, err := r.Ledger.MissingIdentities(ctx, r.Org, r.spec.Name, before, r.asked, mostConfirmed)
	if err != nil {
		return err
	}
	if r.asked == "" {
		r.unproved = map[string]bool{}
	}
	r.asked = ""
	for _, one := range missing {
		if err := r.lookUp(ctx, one.Key); err != nil {
			return err
		}
	}
	if len(missing) == mostConfirmed {
		r.asked = missing[len(missing)-1].Key
	}
	return nil
}

// lookUp asks for somebody whom reads do not show, and records what becomes of them.
func (r *read) lookUp(ctx context.Context, key string) error {
	shown, err := r.source.Lookup(ctx, key)
	state := ""
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, source.ErrGone):
		state = ledger.StateGone
	case err != nil:
		return nil // it is not known: asked again after the next read
	case r.outside(ctx, key):
		state = ledger.StateOutOfScope
	}
	if state != "" {
		_, err = r.Ledger.SetIdentityState(ctx, r.Org, r.spec.Name, key, state, r.Now())
		return err
	}
	r.unproved[key] = true
	row, err := r.row(shown)
	if err != nil {
		return err
	}
	_, err = r.Ledger.SaveMissing(ctx, r.Org, r.spec.Name, row, r.Now())
	return err
}

// outside reports whether the source says that somebody, who is there, is outside of what is read.
func (r *read) outside(ctx context.Context, key string) bool {
	limited, is := r.source.(source.Limited)
	if !is {
		return false
	}
	outside, err := limited.Outside(ctx, key)
	return err == nil && outside
}

// mostConfirmed is how many people are looked up in one read.
const mostConfirmed = 200

// whom returns the accounts to look at: those of everybody who changed since the workflow was told last, in reads that
// failed and in earlier attempts too. Identities without one are linked by their address, where that is possible.
func (w *watch) whom(ctx context.Context) (t touched, err error) {
	changed, last, err := w.Ledger.Touched(ctx, w.Org, w.spec.Name, w.after)
	if err != nil {
		return touched{}, err
	}
	defer func() {
		if err == nil {
			w.after = last
		}
	}()
	if changed.More || len(changed.Accounts)+len(changed.Unbound) > mostTouched {
		return touched{full: "more of source " + w.spec.Name + " changed than can be decided person by person"}, nil
	}
	t = touched{people: slices.Clone(changed.Accounts)}
	bound, err := w.Ledger.IdentitiesOf(ctx, w.Org, t.people)
	if err != nil {
		return touched{}, err
	}
	for _, account := range session.SortedKeys(bound) {
		for _, one := range bound[account] {
			if one.Source == w.spec.Name {
				t.identities = append(t.identities, one.Ref().String())
			}
		}
	}
	unbound, err := w.Ledger.Identities(ctx, w.Org, changed.Unbound)
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
	b, _, err := w.Watched(ctx)
	if err != nil || b == nil || len(addresses) == 0 {
		return t, err // without an outline, everybody is verified soon
	}
	found, err := w.ReadPeople(ctx, addresses)
	if err != nil {
		return touched{}, err
	}
	if _, err := w.Link(ctx, b, found, true); err != nil {
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
