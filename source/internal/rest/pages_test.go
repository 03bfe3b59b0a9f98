package rest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/rest"
)

func TestPagesFollowsCursorsToTheEnd(t *testing.T) {
	next := map[string]string{"": "a", "a": "b", "b": ""}
	var asked []string
	page := func(_ context.Context, cursor string) (string, error) {
		asked = append(asked, cursor)
		return next[cursor], nil
	}
	require.NoError(t, rest.Pages(t.Context(), "users", "", page))
	require.Equal(t, []string{"", "a", "b"}, asked)

	for name, loop := range map[string]map[string]string{"same": {"": "a", "a": "a"}, "far": {"": "a", "a": "b",
		"b": "a"}} {
		next = loop
		err := rest.Pages(t.Context(), "users", "", page)
		require.ErrorIs(t, err, source.ErrMalformed, name)
		require.ErrorContains(t, err, "leads back", name)
	}
	broken := errors.New("broken")
	require.ErrorIs(t, rest.Pages(t.Context(), "users", "",
		func(context.Context, string) (string, error) { return "x", broken }), broken)

	ctx, cancel := context.WithCancel(t.Context())
	err := rest.Pages(ctx, "users", "", func(context.Context, string) (string, error) { cancel(); return "a", nil })
	require.ErrorIs(t, err, context.Canceled)
}

func TestPagesHasAnEnd(t *testing.T) {
	n := 0
	err := rest.Pages(t.Context(), "users", "", func(context.Context, string) (string, error) {
		n++
		return fmt.Sprint(n), nil
	})
	require.ErrorIs(t, err, source.ErrMalformed)
	require.Equal(t, rest.MaxPages, n)
}

func TestInOrderKeepsOrderAndItsLimit(t *testing.T) {
	items := make([]int, 200)
	for i := range items {
		items[i] = i
	}
	for _, limit := range []int{0, 1, 4} {
		var flying, most atomic.Int32
		var used []int
		err := rest.InOrder(t.Context(), items, limit, func(_ context.Context, i int) (int, error) {
			n := flying.Add(1)
			defer flying.Add(-1)
			for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
			}
			for range i % 3 * 100 { // so that they end in another order than they began
				runtime.Gosched()
			}
			return i, nil
		}, func(item, out int) error {
			require.Equal(t, item, out)
			used = append(used, out)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, items, used)
		require.LessOrEqual(t, int(most.Load()), max(limit, 1))
	}
}

func TestInOrderStopsAtTheFirstError(t *testing.T) {
	items := make([]int, 1000)
	broken := errors.New("broken")
	var fetched atomic.Int32
	err := rest.InOrder(t.Context(), items, 4, func(context.Context, int) (int, error) {
		if fetched.Add(1) == 5 {
			return 0, broken
		}
		return 0, nil
	}, func(int, int) error { return nil })
	require.ErrorIs(t, err, broken)
	require.Less(t, int(fetched.Load()), 20)

	fetched.Store(0)
	err = rest.InOrder(t.Context(), items, 4, func(context.Context, int) (int, error) { fetched.Add(1); return 0, nil },
		func(int, int) error { return broken })
	require.ErrorIs(t, err, broken)
	require.Less(t, int(fetched.Load()), 20)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, rest.InOrder(ctx, items, 4, func(ctx context.Context, _ int) (int, error) {
		return 0, ctx.Err()
	},
		func(int, int) error { return nil }), context.Canceled)
}

func TestPagesAheadFetchesOnePageAhead(t *testing.T) {
	next := map[string]string{"": "a", "a": "b", "b": ""}
	fetched := make(chan string, 10)
	fetch := func(_ context.Context, cursor string) (string, string, error) {
		fetched <- cursor
		return "page " + cursor, next[cursor], nil
	}
	var used []string
	require.NoError(t, rest.PagesAhead(t.Context(), "users", fetch, func(page string) error {
		if len(used) == 0 {
			require.Equal(t, []string{"", "a"}, []string{<-fetched, <-fetched}, "before the first page was used")
		}
		used = append(used, page)
		return nil
	}))
	require.Equal(t, []string{"page ", "page a", "page b"}, used)

	broken := errors.New("broken")
	require.Equal(t, broken, rest.PagesAhead(t.Context(), "users", fetch, func(string) error { return broken }))
	require.ErrorIs(t, rest.PagesAhead(t.Context(), "users", func(context.Context, string) (string, string, error) {
		return "", "x", broken
	}, func(string) error { return nil }), broken)
	next["b"] = "a"
	require.ErrorIs(t, rest.PagesAhead(t.Context(), "users", fetch, func(string) error { return nil }),
		source.ErrMalformed)
	ctx, cancel := context.WithCancel(t.Context())
	next["b"] = ""
	require.ErrorIs(t, rest.PagesAhead(ctx, "users", fetch, func(string) error { cancel(); return nil }),
		context.Canceled)
}

func TestEachDecodesEntries(t *testing.T) {
	var got []int
	use := func(n int) error { got = append(got, n); return nil }
	require.NoError(t, rest.Each("users", []jsontext.Value{jsontext.Value("1"), jsontext.Value("2")}, use))
	require.Equal(t, []int{1, 2}, got)
	require.ErrorIs(t, rest.Each("users", []jsontext.Value{jsontext.Value(`"x"`)}, use), source.ErrMalformed)
}
