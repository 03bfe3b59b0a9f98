package session

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/castellan-io/castellan/atlassian/organization"
)

// A list without an end is an error after its bound, whatever was asked, and takes no more memory than that.
func TestEveryPageEndsAListWithoutAnEnd(t *testing.T) {
	for name, page := range map[string]func(n int) organization.Page[int]{
		"a fresh cursor each time": func(n int) organization.Page[int] {
			return organization.Page[int]{Items: []int{1}, Next: fmt.Sprint("c", n)}
		},
		"empty pages": func(n int) organization.Page[int] {
			return organization.Page[int]{Next: fmt.Sprint("c", n)}
		},
		"a circle of cursors": func(n int) organization.Page[int] {
			return organization.Page[int]{Next: fmt.Sprint("c", n%3)}
		},
		"more than there can be": func(n int) organization.Page[int] {
			return organization.Page[int]{Items: make([]int, 400), Next: fmt.Sprint("c", n)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			asked, taken := 0, 0
			err := EveryPage(t.Context(), "read people", bounds{10, 1000},
				func(string) (organization.Page[int], error) {
					asked++
					return page(asked), nil
				}, func(items []int) (bool, error) { taken += len(items); return true, nil })
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.Equal(t, ErrEvidence, app.Type())
			require.True(t, app.NonRetryable(), "another attempt would only ask as much again")
			require.LessOrEqual(t, asked, 11)
			require.LessOrEqual(t, taken, 1000)
		})
	}
}

func TestEveryPageReadsAList(t *testing.T) {
	var asked []string
	ask := func(cursor string) (organization.Page[int], error) {
		asked = append(asked, cursor)
		if len(asked) == 3 {
			return organization.Page[int]{Items: []int{3}}, nil
		}
		return organization.Page[int]{Items: []int{len(asked)}, Next: fmt.Sprint("c", len(asked))}, nil
	}
	var all []int
	require.NoError(t, EveryPage(t.Context(), "read", bounds{10, 10}, ask,
		func(items []int) (bool, error) { all = append(all, items...); return true, nil }))
	require.Equal(t, []int{1, 2, 3}, all)
	require.Equal(t, []string{"", "c1", "c2"}, asked)

	asked = nil
	require.NoError(t, EveryPage(t.Context(), "read", bounds{10, 10}, ask,
		func([]int) (bool, error) { return false, nil }))
	require.Len(t, asked, 1, "no more than is wanted")

	lost := errors.New("lost")
	require.ErrorIs(t, EveryPage(t.Context(), "read", bounds{10, 10},
		func(string) (organization.Page[int], error) { return organization.Page[int]{}, lost }, nil), lost)
}

func TestSweepEnds(t *testing.T) {
	require.NoError(t, checkSweepEnds("read", 999, 20, 19))
	require.ErrorContains(t, checkSweepEnds("read", 1000, 20, 0), "cannot be right")
}
