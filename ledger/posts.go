package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
)

// ErrFull is the error for a post by which a source would have more people or groups than it may.
var ErrFull = errors.New("the source has as many people or groups as it may have")

// Post is what a source that is not read said of one person: all of it, with every group of the source that they are
// in. Of others it says nothing.
type Post struct {
	Identity                  // Source, Since and Digest are set by the ledger, and State but for StateGone
	Groups   []SourceGroupRef // their names are "<source>:<group>"
	At       time.Time        // when it was so, as the source says
	Message  string           // the id of what said so; "": it had none
}

// digest identifies all that a post says of its person.
func (p Post) digest() string { return digestOfPost(p.Identity, p.Groups) }

func digestOfPost(i Identity, groups []SourceGroupRef) string {
	fields := []string{clean(i.Address), fmt.Sprint(maybe(i.Enabled)), clean(string(i.Attributes))}
	if i.State == StateGone {
		fields = append(fields, StateGone)
	}
	groups = slices.SortedFunc(slices.Values(groups),
		func(a, b SourceGroupRef) int { return strings.Compare(a.Key, b.Key) })
	for _, g := range groups {
		fields = append(fields, clean(g.Key), clean(g.Name))
	}
	return digest(fields...)
}

// PostOutcome is what became of a post.
type PostOutcome string

// The outcomes. Only an applied post changes anything.
const (
	PostApplied PostOutcome = "applied"
	PostKnown   PostOutcome = "known" // it was applied before
	PostStale   PostOutcome = "stale" // of the person, something as late or later is known
)

// PostLimits are how much a source that posts may have, and for how long what it says counts; 0: for ever.
type PostLimits struct {
	People, Groups int
	Valid          time.Duration
}

// AcceptPosts stores posts of a source, each in place of what the source said of its person before, unless that is as
// late or later. So a post that is repeated, or comes after a later one, changes nothing. ErrFull: none is stored.
func (l *Ledger) AcceptPosts(ctx context.Context, org, source string, limits PostLimits, posts []Post,
	now time.Time) (outcomes []PostOutcome, err error) {
	err = l.write(ctx, org, "accept what source "+source+" posted", func(w *write) error {
		s, err := w.replica(ctx, org, replicaSource, source)
		if err != nil {
			return err
		}
		a := acceptance{write: w, source: s, limits: limits, now: orNow(now),
			last: map[string]lastPost{}, known: map[string]Identity{}}
		if err := a.gather(ctx, posts); err != nil {
			return err
		}
		outcomes = nil
		for _, p := range posts {
			outcome, err := a.accept(ctx, p)
			if err != nil {
				return err
			}
			outcomes = append(outcomes, outcome)
		}
		return a.finish(ctx)
	})
	return outcomes, err
}

// acceptance stores posts.
type acceptance struct {
	*write
	source  Source
	limits  PostLimits
	now     time.Time
	inOrder bool // posts count in the order in which they come, whatever the clocks say
	last    map[string]lastPost
	known   map[string]Identity
	applied int
	grouped bool     // the source has other groups, or other names of them
	changed []string // keys of people whom that concerns
}

// lastPost is the last post about somebody that was applied.
type lastPost struct {
	at      time.Time
	message string
	digest  string
}

// gather reads what is known of the people of the posts. What the chain does not explain is not known.
func (a *acceptance) gather(ctx context.Context, posts []Post) (err error) {
	for _, some := range chunks(posts) {
		var rows [][]any
		var keys []string
		var people []Identity
		for _, p := range some {
			p.Key = clean(p.Key)
			rows = append(rows, []any{a.source.Name, p.Key})
			keys, people = append(keys, p.Key), append(people, p.Identity)
		}
		if err := a.forget(ctx, tablePosted, rows...); err != nil {
			return err
		}
		where, args := among("org, source", "key", keys, a.org, a.source.Name)
		if err := a.each(ctx, func(row scanner) error {
			var key string
			var at int64
			var p lastPost
			err := row.Scan(&key, &at, &p.message, &p.digest)
			p.at = fromInstant(at)
			a.last[key] = p
			return err
		}, `SELECT key, at, message, digest FROM posted WHERE `+where, args...); err != nil {
			return err
		}
		known, err := a.knownIdentities(ctx, a.source.Name, people)
		if err != nil {
			return err
		}
		for key, i := range known {
			a.known[key] = i
		}
	}
	return nil
}

func (a *acceptance) accept(ctx context.Context, p Post) (PostOutcome, error) {
	p.Source, p.Key, p.At = a.source.Name, clean(p.Key), fromInstant(instant(p.At))
	p.Digest = p.digest()
	last, is := a.last[p.Key]
	if a.inOrder && is && !p.At.After(last.at) {
		p.At = last.at.Add(time.Microsecond)
	}
	switch {
	case is && !p.At.After(last.at) && p.Digest == last.digest &&
		(p.At.Equal(last.at) || p.Message != "" && p.Message == last.message):
		return PostKnown, nil
	case is && !p.At.After(last.at):
		return PostStale, nil
	}
	if err := a.savePerson(ctx, p); err != nil {
		return "", err
	}
	if err := a.saveGroups(ctx, p); err != nil {
		return "", err
	}
	a.last[p.Key] = lastPost{p.At, p.Message, p.Digest}
	a.applied++
	_, err := a.exec(ctx, `INSERT INTO posted (org, source, key, at, message, digest) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (org, source, key) DO UPDATE SET at = excluded.at, message = excluded.message,
		digest = excluded.digest`, a.org, p.Source, p.Key, instant(p.At), p.Message, p.Digest)
	return PostApplied, err
}

// savePerson stores the person. That concerns somebody if it says anything else than before, or if what was said before
// did not count any more.
func (a *acceptance) savePerson(ctx context.Context, p Post) error {
	was, known := a.known[p.Key]
	if !known {
		if a.source.People++; a.source.People > a.limits.People {
			return ErrFull
		}
	}
	since, change := p.after(was, a.now)
	lapsed := a.limits.Valid > 0 && !a.last[p.Key].at.Add(a.limits.Valid).After(a.now)
	if change || lapsed {
		a.changed = append(a.changed, p.Key)
		change = true
	}
	if p.Since = since; p.State != StateGone {
		p.State = StatePresent
	}
	a.known[p.Key] = p.Identity
	_, err := a.exec(ctx, `INSERT INTO identities (org, source, key, address, address_key, enabled, attributes, digest,
		since, change, state) VALUES (`+marks(11)+`) ON CONFLICT (org, source, key) DO UPDATE SET
		address = excluded.address, address_key = excluded.address_key, enabled = excluded.enabled,
		attributes = excluded.attributes, digest = excluded.digest, since = excluded.since, state = excluded.state,
		change = CASE WHEN excluded.change > 0 THEN excluded.change ELSE identities.change END`,
		a.org, p.Source, p.Key, p.Address, access.FoldAddress(p.Address), maybe(p.Enabled), string(p.Attributes),
		p.Digest, instant(since), int64(flag(change))*(a.source.Change+1), p.State)
	return err
}

// saveGroups stores the person's groups, in place of those before. A group stays when its last member leaves it: it has
// nobody in it, and is not gone.
func (a *acceptance) saveGroups(ctx context.Context, p Post) error {
	stored := map[string]bool{}
	if err := a.each(ctx, func(row scanner) error {
		var key string
		err := row.Scan(&key)
		stored[key] = true
		return err
	}, `SELECT group_key FROM source_members WHERE member = ? AND source = ? AND org = ?`, p.Key, p.Source,
		a.org); err != nil {
		return err
	}
	var groups, members [][]any
	said := map[string]bool{}
	for _, g := range p.Groups {
		g.Key = clean(g.Key)
		if said[g.Key] {
			continue
		}
		said[g.Key] = true
		groups = append(groups, []any{a.org, p.Source, g.Key, g.Name})
		if !stored[g.Key] {
			members = append(members, []any{a.org, p.Source, g.Key, p.Key})
		}
	}
	if err := a.createGroups(ctx, groups); err != nil {
		return err
	}
	for key := range stored {
		if said[key] {
			continue
		}
		if _, err := a.exec(ctx, `DELETE FROM source_members WHERE org = ? AND source = ? AND group_key = ?
			AND member = ?`, a.org, p.Source, key, p.Key); err != nil {
			return err
		}
		a.source.Memberships--
	}
	a.source.Memberships += len(members)
	return a.execRows(ctx, `INSERT INTO source_members (org, source, group_key, member) VALUES`, marks(4), ``, members)
}

// createGroups stores the groups that are new, and names that are others than before.
func (a *acceptance) createGroups(ctx context.Context, groups [][]any) error {
	names := map[string]string{}
	for _, some := range chunks(groups) {
		keys := make([]string, len(some))
		for n, row := range some {
			keys[n] = row[2].(string)
		}
		where, args := among("org, source", "key", keys, a.org, a.source.Name)
		if err := a.each(ctx, func(row scanner) error {
			var key, name string
			err := row.Scan(&key, &name)
			names[key] = name
			return err
		}, `SELECT key, name FROM source_groups WHERE `+where, args...); err != nil {
			return err
		}
	}
	groups = slices.DeleteFunc(groups, func(row []any) bool {
		name, known := names[row[2].(string)]
		if !known {
			a.source.Groups++
		}
		return known && name == clean(row[3].(string))
	})
	if a.source.Groups > a.limits.Groups {
		return ErrFull
	}
	a.grouped = a.grouped || len(groups) > 0
	return a.execRows(ctx, `INSERT INTO source_groups (org, source, key, name, digest) VALUES`, marks(4)+", ''",
		`ON CONFLICT (org, source, key) DO UPDATE SET name = excluded.name`, groups)
}

// finish stores what the source has now, and whom the posts concern.
func (a *acceptance) finish(ctx context.Context) error {
	if a.applied == 0 && !a.grouped {
		return nil
	}
	slices.Sort(a.changed)
	if _, err := a.touchPeople(ctx, a.source, slices.Compact(a.changed), true, a.now); err != nil {
		return err
	}
	_, err := a.exec(ctx, `INSERT INTO replicas (org, kind, name, people, group_count, memberships, posted_at)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (org, kind, name) DO UPDATE SET people = excluded.people,
		group_count = excluded.group_count, memberships = excluded.memberships, posted_at = excluded.posted_at`,
		a.org, replicaSource, a.source.Name, a.source.People, a.source.Groups, a.source.Memberships, instant(a.now))
	return err
}

// RefusePosts counts posts of a source that were refused; code says why the last one was.
func (l *Ledger) RefusePosts(ctx context.Context, org, source string, n int, code string, now time.Time) error {
	return l.write(ctx, org, "count refused posts of source "+source, func(w *write) error {
		_, err := w.exec(ctx, `INSERT INTO replicas (org, kind, name, refused, refused_at, refused_code)
			VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (org, kind, name) DO UPDATE SET
			refused = replicas.refused + excluded.refused, refused_at = excluded.refused_at,
			refused_code = excluded.refused_code`, org, replicaSource, source, n, instant(orNow(now)), code)
		return err
	})
}

// stated sets when sources that post stated the identities, as they stand with their groups. It leaves out what the
// chain does not explain: somebody else wrote that.
func (l *Ledger) stated(ctx context.Context, org string, all []BoundIdentity) error {
	place, refs := map[string]int{}, make([]Ref, len(all))
	for n, i := range all {
		refs[n], place[postedKey(i.Ref())] = i.Ref(), n
	}
	at := map[string]time.Time{}
	var keys [][]string
	for _, some := range chunks(refs) {
		where, args := amongRefs("org, source, key", org, some)
		if err := l.reads.each(ctx, func(row scanner) error {
			var r Ref
			var when int64
			var digest string
			err := row.Scan(&r.Source, &r.Key, &when, &digest)
			if i := all[place[postedKey(r)]]; digest == digestOfPost(i.Identity, i.Groups) {
				at[postedKey(r)], keys = fromInstant(when), append(keys, []string{r.Source, r.Key})
			}
			return err
		}, `SELECT source, key, at, digest FROM posted WHERE `+where, args...); err != nil {
			return err
		}
	}
	if len(keys) == 0 {
		return nil
	}
	explained, err := l.explainedRows(ctx, org, tablePosted, keys)
	for key, when := range at {
		if explained[key] {
			all[place[key]].Stated = when
		}
	}
	return err
}

func postedKey(r Ref) string { return r.Source + "\x00" + r.Key }

// UnexplainedPosts returns of how many people of a source that posts the chain does not explain what it said of them.
// It reads all of them.
func (l *Ledger) UnexplainedPosts(ctx context.Context, org, source string) (n int, err error) {
	for after := ""; ; {
		some, err := l.identities(ctx, org, `i.org = ? AND i.source = ? AND i.key > ? ORDER BY i.key LIMIT ?`, org,
			source, after, rowsAtOnce)
		if err == nil && len(some) > 0 {
			var grouped []BoundIdentity
			grouped, err = l.grouped(ctx, org, some)
			for _, i := range grouped {
				n += flag(i.Stated.IsZero())
			}
		}
		if err != nil || len(some) < rowsAtOnce {
			return n, reading(err, "whether the chain explains what source "+source+" posted", org)
		}
		after = some[len(some)-1].Key
	}
}
