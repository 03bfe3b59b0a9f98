package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ErrTaken is the error for a resource whose name another has.
var ErrTaken = errors.New("another resource has this name")

// ResourceKind is a kind of resource that an identity provider pushes.
type ResourceKind string

// The kinds.
const (
	ResourceUser  ResourceKind = "user"
	ResourceGroup ResourceKind = "group"
)

// Resource is a user or group that an identity provider pushed, as it said last.
type Resource struct {
	Kind     ResourceKind
	ID       string // of a user, the person's key; of a group, the group's
	Name     string // in the form in which they compare; no other of its kind has it
	External string // id at the identity provider; "": it said none
	Body     json.RawMessage
	Created  time.Time // set by the ledger, as Modified
	Modified time.Time
}

const selectResource = `SELECT kind, id, name, external, body, created, modified FROM pushed`

func scanResource(row scanner) (r Resource, err error) {
	var body string
	var created, modified int64
	err = row.Scan(&r.Kind, &r.ID, &r.Name, &r.External, &body, &created, &modified)
	r.Body, r.Created, r.Modified = json.RawMessage(body), fromInstant(created), fromInstant(modified)
	return r, err
}

// ResourceQuery selects resources of a source. What is empty selects all.
type ResourceQuery struct {
	Kind               ResourceKind
	ID, Name, External string
	Skip, Limit        int // by id
}

// Resources returns a page of the resources that a source pushed, and how many there are on all pages.
func (l *Ledger) Resources(ctx context.Context, org, source string, q ResourceQuery) (page []Resource, total int,
	err error) {
	where, args := ` WHERE org = ? AND source = ? AND kind = ?`, []any{org, source, string(q.Kind)}
	for _, by := range []struct{ column, value string }{{"id", q.ID}, {"name", q.Name}, {"external", q.External}} {
		if by.value != "" {
			where, args = where+` AND `+by.column+` = ?`, append(args, by.value)
		}
	}
	counted, err := first(ctx, l.reads, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
		`SELECT COUNT(*) FROM pushed`+where, args...)
	if err == nil && q.Limit > 0 {
		page, err = collect(ctx, l.reads, scanResource, selectResource+where+` ORDER BY id LIMIT ? OFFSET ?`,
			append(args, q.Limit, q.Skip)...)
	}
	return page, counted, reading(err, "what source "+source+" pushed", org)
}

// MembersPushed returns the members of a group that a source pushed, by id.
func (l *Ledger) MembersPushed(ctx context.Context, org, source, group string) ([]string, error) {
	all, err := l.reads.membersPushed(ctx, org, source, group)
	return all, reading(err, "the members of group "+group+" of source "+source, org)
}

func (d database) membersPushed(ctx context.Context, org, source, group string) ([]string, error) {
	return collect(ctx, d, func(row scanner) (member string, err error) { return member, row.Scan(&member) },
		`SELECT member FROM source_members WHERE org = ? AND source = ? AND group_key = ? ORDER BY member`, org, source,
		group)
}

// Push is a change of what a source pushed: one transaction, which states anew everybody whom it concerns. Statements
// count in the order in which they come.
type Push struct{ acceptance }

// Push changes what a source pushed. An error of do undoes it, and is returned as it is. ErrFull: it would have more
// than it may.
func (l *Ledger) Push(ctx context.Context, org, source string, limits PostLimits, do func(ctx context.Context,
	p *Push) error, now time.Time) error {
	return l.write(ctx, org, "change what source "+source+" pushed", func(w *write) error {
		s, err := w.replica(ctx, org, replicaSource, source)
		if err != nil {
			return err
		}
		p := &Push{acceptance{write: w, source: s, limits: limits, now: orNow(now), inOrder: true,
			last: map[string]lastPost{}, known: map[string]Identity{}}}
		if err := do(ctx, p); err != nil {
			return err
		}
		return p.finish(ctx)
	})
}

// Resource returns a resource, or ErrNotFound.
func (p *Push) Resource(ctx context.Context, kind ResourceKind, id string) (Resource, error) {
	return first(ctx, p.database, scanResource, selectResource+` WHERE org = ? AND source = ? AND kind = ? AND id = ?`,
		p.org, p.source.Name, string(kind), id)
}

// Members returns the members of a group.
func (p *Push) Members(ctx context.Context, group string) ([]string, error) {
	return p.membersPushed(ctx, p.org, p.source.Name, group)
}

// SaveUser stores a user and what the source says of the person, who stays in the groups that they are in. ErrTaken:
// another user has the name.
func (p *Push) SaveUser(ctx context.Context, r Resource, i Identity) error {
	if err := p.save(ctx, r); err != nil {
		return err
	}
	i.Source, i.Key = p.source.Name, r.ID
	return p.state(ctx, i, nil)
}

// SaveGroup stores a group and who is in it. Members who are no users of the source are ErrNotFound; ErrTaken: another
// group has the name.
func (p *Push) SaveGroup(ctx context.Context, r Resource, name string, members []string) error {
	if err := p.save(ctx, r); err != nil {
		return err
	}
	group := SourceGroupRef{Source: p.source.Name, Key: r.ID, Name: p.source.Name + ":" + name}
	before, err := p.Members(ctx, r.ID)
	if err != nil {
		return err
	}
	renamed, err := p.renamed(ctx, group)
	if err != nil {
		return err
	}
	if err := p.createGroups(ctx, [][]any{{p.org, group.Source, group.Key, group.Name}}); err != nil {
		return err
	}
	in := map[string]bool{}
	for _, key := range members {
		in[key] = true
	}
	for _, key := range before {
		switch {
		case !in[key]:
			in[key] = false // leaves it
		case !renamed:
			delete(in, key) // nothing changes for them
		}
	}
	for _, key := range slices.Sorted(maps.Keys(in)) {
		if err := p.stateKnown(ctx, key, &membership{group, in[key]}); err != nil {
			return fmt.Errorf("member %q is no user of the source: %w", key, err)
		}
	}
	return nil
}

// renamed reports whether a group is stored under another name, or not at all.
func (p *Push) renamed(ctx context.Context, g SourceGroupRef) (bool, error) {
	same, err := first(ctx, p.database, func(row scanner) (n int, err error) { return n, row.Scan(&n) },
		`SELECT COUNT(*) FROM source_groups WHERE org = ? AND source = ? AND key = ? AND name = ?`, p.org, g.Source, g.Key,
		clean(g.Name))
	return same == 0, err
}

// DeleteUser deletes a user: the person is gone. ErrNotFound: there is none.
func (p *Push) DeleteUser(ctx context.Context, id string) error {
	if err := p.delete(ctx, ResourceUser, id); err != nil {
		return err
	}
	i, err := p.identity(ctx, id)
	if err != nil {
		return err
	}
	i.State = StateGone
	return p.state(ctx, i, nil)
}

// DeleteGroup deletes a group: nobody is in it any more, and the source no longer has it, since it said so itself.
// ErrNotFound: there is none.
func (p *Push) DeleteGroup(ctx context.Context, id string) error {
	if err := p.delete(ctx, ResourceGroup, id); err != nil {
		return err
	}
	members, err := p.Members(ctx, id)
	if err != nil {
		return err
	}
	for _, key := range members {
		out := &membership{group: SourceGroupRef{Source: p.source.Name, Key: id}}
		if err := p.stateKnown(ctx, key, out); err != nil {
			return err
		}
	}
	n, err := p.exec(ctx, `DELETE FROM source_groups WHERE org = ? AND source = ? AND key = ?`, p.org, p.source.Name, id)
	p.source.Groups -= n
	p.grouped = true
	return err
}

func (p *Push) save(ctx context.Context, r Resource) error {
	others, err := collect(ctx, p.database, scanResource, selectResource+` WHERE org = ? AND source = ? AND kind = ?
		AND name = ? AND id <> ?`, p.org, p.source.Name, string(r.Kind), r.Name, r.ID)
	if err != nil {
		return err
	}
	if len(others) > 0 {
		return ErrTaken
	}
	if err := p.touch(ctx, tablePushed, []any{p.source.Name, string(r.Kind), r.ID}); err != nil {
		return err
	}
	_, err = p.exec(ctx, `INSERT INTO pushed (org, source, kind, id, name, external, body, created, modified)
		VALUES (`+marks(9)+`) ON CONFLICT (org, source, kind, id) DO UPDATE SET name = excluded.name,
		external = excluded.external, body = excluded.body, modified = excluded.modified`, p.org, p.source.Name,
		string(r.Kind), r.ID, r.Name, r.External, string(r.Body), instant(p.now), instant(p.now))
	return err
}

func (p *Push) delete(ctx context.Context, kind ResourceKind, id string) error {
	if err := p.touch(ctx, tablePushed, []any{p.source.Name, string(kind), id}); err != nil {
		return err
	}
	n, err := p.exec(ctx, `DELETE FROM pushed WHERE org = ? AND source = ? AND kind = ? AND id = ?`, p.org,
		p.source.Name, string(kind), id)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// membership is whether somebody is in a group from now on.
type membership struct {
	group SourceGroupRef
	in    bool
}

// stateKnown states somebody as they are known, but for a group. ErrNotFound: there is no such user.
func (p *Push) stateKnown(ctx context.Context, key string, but *membership) error {
	if _, err := p.Resource(ctx, ResourceUser, key); err != nil {
		return err
	}
	i, err := p.identity(ctx, key)
	if err != nil {
		return err
	}
	return p.state(ctx, i, but)
}

// identity returns what is known of somebody.
func (p *Push) identity(ctx context.Context, key string) (Identity, error) {
	return first(ctx, p.database, scanIdentity, selectIdentity+` WHERE i.org = ? AND i.source = ? AND i.key = ?`, p.org,
		p.source.Name, key)
}

// state states what the source says of somebody from now on, with the groups that they are in, but for one.
func (p *Push) state(ctx context.Context, i Identity, but *membership) error {
	post := Post{Identity: i, At: p.now}
	if i.State != StateGone {
		groups, err := collect(ctx, p.database, func(row scanner) (g SourceGroupRef, err error) {
			return g, row.Scan(&g.Source, &g.Key, &g.Name)
		}, `SELECT m.source, m.group_key, (SELECT g.name FROM source_groups g WHERE g.org = m.org
			AND g.source = m.source AND g.key = m.group_key) FROM source_members m WHERE m.member = ? AND m.source = ?
			AND m.org = ?`, i.Key, p.source.Name, p.org)
		if err != nil {
			return err
		}
		post.Groups = groups
	}
	if but != nil {
		post.Groups = slices.DeleteFunc(post.Groups, func(g SourceGroupRef) bool { return g.Key == but.group.Key })
		if but.in {
			post.Groups = append(post.Groups, but.group)
		}
	}
	if _, gathered := p.last[i.Key]; !gathered {
		if err := p.gather(ctx, []Post{post}); err != nil {
			return err
		}
	}
	_, err := p.accept(ctx, post)
	return err
}

// FoldResourceName returns the form in which names of resources compare: those of users and groups regardless of case.
func FoldResourceName(name string) string { return strings.ToLower(strings.TrimSpace(name)) }
