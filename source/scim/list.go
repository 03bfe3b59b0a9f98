package scim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
	"github.com/castellan-io/castellan/source/internal/rest"
)

// page is an answer to a list.
type page struct {
	resources []map[string]any
	total     *int // nil: not said
	next      string
}

func decode(body []byte) (map[string]any, error) {
	var answer reading.Attributes
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	return folded(answer), nil
}

// page asks for one.
func (r *Reader) page(ctx context.Context, request rest.Request) (page, error) {
	var raw reading.Attributes
	if _, err := r.client.Do(ctx, request, &raw); err != nil {
		return page{}, err
	}
	p, err := parsePage(raw)
	if err != nil {
		return page{}, fmt.Errorf("scim: %s (%s): %w: %w", request.Operation, r.client.Host(), source.ErrMalformed, err)
	}
	return p, nil
}

func parsePage(raw map[string]any) (page, error) {
	answer, p := folded(raw), page{}
	var err error
	if p.total, err = number(answer["totalresults"]); err != nil {
		return page{}, fmt.Errorf("totalResults: %w", err)
	}
	switch next := answer["nextcursor"].(type) {
	case nil:
	case string:
		p.next = next
	default:
		return page{}, errors.New("nextCursor is not a string")
	}
	resources, listed := answer["resources"]
	if !listed {
		if p.total == nil && p.next == "" {
			return page{}, errors.New("it has neither Resources nor totalResults: this is no list")
		}
		return p, nil
	}
	all, is := resources.([]any)
	if !is {
		return page{}, errors.New("its Resources are not a list")
	}
	for _, one := range all {
		resource, is := one.(map[string]any)
		if !is {
			return page{}, errors.New("something in its Resources is not an object")
		}
		p.resources = append(p.resources, resource)
	}
	return p, nil
}

// number takes a whole number, which some services write as a string.
func number(value any) (*int, error) {
	switch value := value.(type) {
	case nil:
		return nil, nil
	case float64:
		if value >= 0 && value <= math.MaxInt32 && value == math.Trunc(value) {
			n := int(value)
			return &n, nil
		}
	case string:
		if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && n >= 0 && n <= math.MaxInt32 {
			return &n, nil
		}
	}
	return nil, errors.New("it is not a number of entries")
}

// list gives every resource of a list to use, and returns how many the service declared. What is not as declared is
// unsteady.
func (r *Reader) list(ctx context.Context, what, path, filter string, use func(map[string]any) error) (*int, error) {
	l := &listing{reader: r, request: r.request("list "+what, path), use: use}
	l.query = url.Values{"count": {strconv.Itoa(r.options.PageSize)}}
	if filter != "" {
		l.query.Set("filter", filter)
	}
	// Without startIndex and cursor, a service pages as it likes best.
	first, err := l.fetch(ctx, nil)
	if err != nil {
		return nil, err
	}
	if first.next != "" {
		return l.total, l.byCursor(ctx, first.next)
	}
	if first.total == nil {
		return nil, r.endsWithoutTotal(ctx, what)
	}
	if err = l.byIndex(ctx); err == nil && l.shown == len(first.resources) && l.shown > 1 {
		err = l.beyond(ctx, first.resources)
	}
	return l.total, err
}

// endsWithoutTotal is about a page that has neither a number of entries nor a next one. Only services that page by
// cursors may leave both out.
func (r *Reader) endsWithoutTotal(ctx context.Context, what string) error {
	var raw reading.Attributes
	_, err := r.client.Do(ctx, r.request("ask how lists are paged", "/ServiceProviderConfig"), &raw)
	if err == nil {
		pagination, _ := folded(raw)["pagination"].(map[string]any)
		if by, err := boolean(folded(pagination)["cursor"]); err == nil && by != nil && *by {
			return nil
		}
	}
	if ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("scim: list %s: %w: it has no totalResults, so that nobody knows whether it is complete", what,
		source.ErrMalformed)
}

type listing struct {
	reader  *Reader
	request rest.Request
	query   url.Values
	use     func(map[string]any) error
	shown   int
	total   *int
}

// fetch asks for a page and passes it on.
func (l *listing) fetch(ctx context.Context, where url.Values) (page, error) {
	l.request.Query = url.Values{}
	for _, values := range []url.Values{l.query, where} {
		for name, value := range values {
			l.request.Query[name] = value
		}
	}
	p, err := l.reader.page(ctx, l.request)
	if err != nil {
		return page{}, err
	}
	if l.shown == 0 {
		l.total = p.total
	}
	if l.total != nil && p.total != nil && *p.total != *l.total {
		return page{}, unsteadyf("it declared %d entries, and later %d", *l.total, *p.total)
	}
	for _, resource := range p.resources {
		if err = l.use(resource); err != nil {
			return page{}, err
		}
		l.shown++
	}
	if l.total != nil && l.shown > *l.total {
		return page{}, unsteadyf("it declared %d entries and shows more", *l.total)
	}
	return p, nil
}

// byIndex goes on by startIndex. Services may send fewer than they were asked for.
func (l *listing) byIndex(ctx context.Context) error {
	for l.shown < *l.total {
		before := l.shown
		p, err := l.fetch(ctx, url.Values{"startIndex": {strconv.Itoa(l.shown + 1)}})
		if err != nil {
			return err
		}
		if len(p.resources) == 0 {
			return unsteadyf("it declared %d entries and shows none after %d", *l.total, before)
		}
	}
	return nil
}

// beyond looks for a second page: some services declare how many are on the page, not how many there are. Others have
// no pages and always answer with everybody; but as many as were asked for, again, are likely the first page only.
func (l *listing) beyond(ctx context.Context, first []map[string]any) error {
	request := l.request
	request.Query = url.Values{"startIndex": {strconv.Itoa(l.shown + 1)}}
	for name, value := range l.query {
		request.Query[name] = value
	}
	p, err := l.reader.page(ctx, request)
	var failure *rest.Error
	if errors.As(err, &failure) && (failure.Status == http.StatusBadRequest || failure.Status == http.StatusNotFound) {
		return nil // it refuses to look beyond the end
	}
	if err != nil || len(p.resources) == 0 {
		return err
	}
	known := map[any]bool{}
	for _, resource := range first {
		known[fmt.Sprint(folded(resource)["id"])] = true
	}
	for _, resource := range p.resources {
		if !known[fmt.Sprint(folded(resource)["id"])] {
			return unsteadyf("it declared %d entries and shows more", *l.total)
		}
	}
	if l.shown == l.reader.options.PageSize {
		return unsteadyf("it shows the first %d entries again when it is asked for the next ones", l.shown)
	}
	return nil
}

// byCursor follows RFC 9865.
func (l *listing) byCursor(ctx context.Context, next string) error {
	page := func(ctx context.Context, cursor string) (string, error) {
		p, err := l.fetch(ctx, url.Values{"cursor": {cursor}})
		return p.next, err
	}
	err := rest.Pages(ctx, "scim: "+l.request.Operation, next, page)
	if err == nil && l.total != nil && l.shown != *l.total {
		return unsteadyf("it declared %d entries and shows %d", *l.total, l.shown)
	}
	return err
}
