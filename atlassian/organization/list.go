package organization

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// list requests one page. I is an item as the API writes it, T as this package returns it; convert refuses an item
// without its essential fields.
func list[I, T any](ctx context.Context, c *Client, r wire.Request, cursor string, convert func(I) (T, error)) (Page[T],
	error) {
	page := Page[T]{}
	r.Decode = func(body io.Reader) error {
		links, err := wire.DecodePage(body, func(item I) error {
			converted, err := convert(item)
			page.Items = append(page.Items, converted)
			return err
		})
		if err != nil {
			return err
		}
		page.Next, err = wire.Next(links.Next, cursor)
		return err
	}
	if err := c.wire.Do(ctx, r); err != nil {
		return Page[T]{}, err // never part of a page
	}
	return page, nil
}

// get requests one object under "data".
func get[I, T any](ctx context.Context, c *Client, operation, path string, convert func(I) (T, error)) (T, error) {
	var result, none T
	err := c.wire.Do(ctx, wire.Request{Operation: operation, Method: http.MethodGet, Path: path,
		Decode: func(body io.Reader) error {
			var item I
			if err := wire.DecodeData(body, &item); err != nil {
				return err
			}
			var err error
			result, err = convert(item)
			return err
		}})
	if err != nil {
		return none, err
	}
	return result, nil
}

// pageQuery is the query of a list. A cursor includes the filters of the first page.
func pageQuery(cursor string, limit int) url.Values {
	q := url.Values{}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return q
}

var errNoID = errors.New("an item has no id")
