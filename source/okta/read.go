package okta

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
	"github.com/castellan-io/castellan/source/internal/rest"
)

// Read shows everybody, then the groups.
func (r *Reader) Read(ctx context.Context, page func(source.Page) error) (source.Proof, error) {
	account, began, err := r.begin(ctx)
	if err != nil {
		return source.Proof{}, err
	}
	shown := reading.New(page)
	// The plain list leaves out who is deprovisioned. Who leaves while it is read is in the second list, and who comes
	// back meanwhile is in the third.
	for _, filter := range []string{"", `status eq "DEPROVISIONED"`,
		`lastUpdated gt "` + began.UTC().Format("2006-01-02T15:04:05.000Z") + `"`} {
		if err := r.people(ctx, filter, shown); err != nil {
			return source.Proof{}, err
		}
	}
	if shown.People() == 0 {
		return source.Proof{}, rest.Nobody("okta", "the token's owner or the service app may see everybody")
	}
	groups, err := r.groups(ctx)
	if err != nil {
		return source.Proof{}, err
	}
	err = rest.InOrder(ctx, groups, r.options.InFlight, r.members, func(g source.Group, members []string) error {
		g.Members = members
		return shown.Group(g)
	})
	if err != nil {
		return source.Proof{}, err
	}
	return shown.Finish(reading.As(append([]string{"okta", r.client.Host(), account}, r.options.Groups...)...), "", nil)
}

// begin tells who reads, and since when, by Okta's clock and somewhat earlier.
func (r *Reader) begin(ctx context.Context) (account string, began time.Time, err error) {
	var header http.Header
	if account = r.options.ClientID; account != "" {
		var one []user
		header, err = r.client.Do(ctx, rest.Request{Operation: "list users", Path: "/api/v1/users",
			Query: url.Values{"limit": {"1"}}}, &one)
	} else {
		var owner user
		header, err = r.client.Do(ctx, rest.Request{Operation: "ask whose token it is", Path: "/api/v1/users/me"},
			&owner)
		account = "the token of " + owner.ID
		if err == nil && owner.ID == "" {
			err = fmt.Errorf("okta: %w: it does not say whose token it is", source.ErrMalformed)
		}
	}
	if err != nil {
		return "", time.Time{}, err
	}
	if began, err = http.ParseTime(header.Get("Date")); err != nil {
		began = time.Now()
	}
	return account, began.Add(-time.Minute), nil
}

// people shows a list of people, but for those whom a list before it showed.
func (r *Reader) people(ctx context.Context, filter string, shown *reading.Reading) error {
	request := rest.Request{Operation: "list users", Path: "/api/v1/users", Query: url.Values{}}
	if filter != "" {
		request.Query.Set("filter", filter)
	}
	var listed rest.Unique
	return list(ctx, r, request, r.options.PageSize, func(u user) error {
		if err := listed.Add(u.ID); err != nil {
			return fmt.Errorf("okta: list users: %w", err)
		}
		if shown.Seen(u.ID) {
			return nil
		}
		p, err := u.identity()
		if err != nil {
			return err
		}
		return shown.Person(p)
	})
}

// groups lists the groups in scope, without their members.
func (r *Reader) groups(ctx context.Context) ([]source.Group, error) {
	type group struct {
		ID      string `json:"id"`
		Profile struct {
			Name string `json:"name"`
		} `json:"profile"`
	}
	var groups []source.Group
	err := list(ctx, r, rest.Request{Operation: "list groups", Path: "/api/v1/groups"}, groupsPage,
		func(g group) error {
			if g.ID == "" || g.Profile.Name == "" {
				return fmt.Errorf("okta: list groups: %w: a group has no key or no name", source.ErrMalformed)
			}
			if !r.names.Match(g.Profile.Name) {
				return nil
			}
			if len(groups) == source.MaxGroups {
				return fmt.Errorf("okta: %w: more than %d groups: narrow their names", source.ErrMalformed,
					source.MaxGroups)
			}
			groups = append(groups, source.Group{Key: g.ID, Name: g.Profile.Name})
			return nil
		})
	return groups, err
}

// members lists the keys of a group's members. A group that is deleted meanwhile makes the read incomplete.
func (r *Reader) members(ctx context.Context, g source.Group) ([]string, error) {
	segment, err := rest.Segment(g.Key)
	if err != nil {
		return nil, fmt.Errorf("okta: %w: a group has no key", source.ErrMalformed)
	}
	type member struct {
		ID string `json:"id"`
	}
	var members rest.Unique
	err = list(ctx, r, rest.Request{Operation: "list members", Path: "/api/v1/groups/" + segment + "/users",
		NotFound: source.ErrIncomplete}, membersPage, func(m member) error {
		if err := members.Add(m.ID); err != nil {
			return fmt.Errorf("okta: list members of %.100q: %w", g.Name, err)
		}
		return nil
	})
	return members.Keys, err
}

// list calls use with each entry of a list, page by page. The links to the pages are in headers.
func list[T any](ctx context.Context, r *Reader, request rest.Request, size int, use func(T) error) error {
	query := url.Values{"limit": {strconv.Itoa(size)}}
	for name, values := range request.Query {
		query[name] = values
	}
	request.Query = query
	name := "okta: " + request.Operation
	fetch := func(ctx context.Context, link string) ([]jsontext.Value, string, error) {
		request.Link = link
		var entries []jsontext.Value
		header, err := r.client.Do(ctx, request, &entries)
		if err == nil && entries == nil {
			err = fmt.Errorf("%s: %w: the answer is not a list", name, source.ErrMalformed)
		}
		if err == nil && len(header.Values("Link")) == 0 && len(entries) >= size {
			err = fmt.Errorf("%s: %w: a full page without the header Link: see whether a proxy drops it", name,
				source.ErrIncomplete)
		}
		if err != nil {
			return nil, "", err
		}
		return entries, next(header), nil
	}
	return rest.PagesAhead(ctx, name, fetch, func(entries []jsontext.Value) error {
		return rest.Each(name, entries, use)
	})
}

var links = regexp.MustCompile(`<([^>]*)>([^,]*)`)

// next returns the link to the next page (RFC 8288); empty: there is none.
func next(header http.Header) string {
	for _, link := range links.FindAllStringSubmatch(strings.Join(header.Values("Link"), ","), -1) {
		if strings.Contains(link[2], `rel="next"`) || strings.Contains(link[2], "rel=next") {
			return link[1]
		}
	}
	return ""
}
