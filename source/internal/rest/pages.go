package rest

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"

	"github.com/castellan-io/castellan/source"
)

// MaxPages bounds the pages of one list: even with ten entries a page, more would be too many entries.
const MaxPages = source.MaxPeople / 10

// Pages calls page with the cursor of each page: first with first, then with what it returned, until that is empty. A
// cursor that was there before is an error: the list would never end, or have people missing.
func Pages(ctx context.Context, list, first string, page func(ctx context.Context, cursor string) (string,
	error)) error {
	seen := map[[sha256.Size]byte]bool{}
	for cursor := first; ; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: given up by the caller: %w", list, err)
		}
		if len(seen) >= MaxPages {
			return fmt.Errorf("%s: %w: more than %d pages: ask for larger ones", list, source.ErrMalformed, MaxPages)
		}
		seen[sha256.Sum256([]byte(cursor))] = true
		next, err := page(ctx, cursor)
		if err != nil || next == "" {
			return err
		}
		if seen[sha256.Sum256([]byte(next))] {
			return fmt.Errorf("%s: %w: page %d leads back to one before it, so that the list has no end: read "+
				"again, and "+
				"tell the provider if it happens every time", list, source.ErrMalformed, len(seen))
		}
		cursor = next
	}
}

// PagesAhead is Pages for long lists of large pages: while use looks at a page, the next one is on its way.
func PagesAhead[P any](ctx context.Context, list string, fetch func(ctx context.Context, cursor string) (P, string,
	error),
	use func(P) error) error {
	group, ctx := errgroup.WithContext(ctx)
	pages := make(chan P)
	group.Go(func() error {
		defer close(pages)
		return Pages(ctx, list, "", func(ctx context.Context, cursor string) (string, error) {
			page, next, err := fetch(ctx, cursor)
			if err != nil {
				return "", err
			}
			select {
			case pages <- page:
				return next, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		})
	})
	group.Go(func() error {
		for page := range pages {
			if err := use(page); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// Each decodes the entries of a page, for use with each of them in turn.
func Each[T any](list string, entries []jsontext.Value, use func(T) error) error {
	for _, entry := range entries {
		var decoded T
		if err := json.Unmarshal(entry, &decoded); err != nil {
			return fmt.Errorf("%s: %w: an entry is not what was expected: %s", list, source.ErrMalformed,
				clean(err.Error(), nil))
		}
		if err := use(decoded); err != nil {
			return err
		}
	}
	return nil
}

// InOrder calls fetch for each item, with at most limit calls in flight, and hands the results to use in the order of
// the items, one at a time. The first error stops everything and is returned; at most limit results are held.
func InOrder[In, Out any](ctx context.Context, items []In, limit int,
	fetch func(context.Context, In) (Out, error), use func(In, Out) error) error {
	group, ctx := errgroup.WithContext(ctx)
	pending := make(chan chan Out, max(limit, 1)-1)
	group.Go(func() error {
		defer close(pending)
		for _, item := range items {
			result := make(chan Out, 1)
			select {
			case pending <- result:
			case <-ctx.Done():
				return ctx.Err()
			}
			group.Go(func() error {
				out, err := fetch(ctx, item)
				if err == nil {
					result <- out
				}
				return err
			})
		}
		return nil
	})
	group.Go(func() error {
		for _, item := range items {
			var result chan Out
			select {
			case result = <-pending:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case out := <-result:
				if err := use(item, out); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return group.Wait()
}

// Unique are keys that a list shows once each.
type Unique struct {
	Keys []string
	seen map[string]struct{}
}

// Add takes a key. A second time is an error: pages overlap, so that others may be missing.
func (u *Unique) Add(key string) error {
	if _, twice := u.seen[key]; twice {
		return fmt.Errorf("%w: %.100q was shown twice, so that others may be missing: read again; if it happens "+
			"every time, "+
			"the provider's paging is broken", source.ErrIncomplete, key)
	}
	if u.seen == nil {
		u.seen = map[string]struct{}{}
	}
	u.seen[key] = struct{}{}
	u.Keys = append(u.Keys, key)
	return nil
}
