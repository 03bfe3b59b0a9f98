package reading

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/castellan-io/castellan/source"
)

// What of a cycle is named: names are for people to recognize groups by, and cycles are stored and shown with others.
const (
	mostInCycle   = 10  // groups of one cycle
	mostCycleName = 100 // bytes of a name
)

// Nested takes for the proof which groups contain each other: those that are in the groups 0 to n-1, by index. Readers
// that follow groups in groups themselves know that; members alone do not tell it. Of groups of which each is reached
// from each, one shortest cycle is named, as they may have more cycles than groups; a group in itself is named besides.
func (r *Reading) Nested(n int, name func(int32) string, inner func(int32) []int32) {
	t := &tangle{name: func(g int32) string { return cycleName(name(g)) }, inner: inner, set: make([]int32, n)}
	var cycles [][]string
	for _, some := range t.sets() {
		for _, g := range some {
			if slices.Contains(inner(g), g) {
				cycles = append(cycles, t.named([]int32{g}))
			}
		}
		if len(some) > 1 {
			cycles = append(cycles, t.named(t.around(slices.MinFunc(some, t.compare))))
		}
	}
	slices.SortFunc(cycles, slices.Compare)
	r.proof.Cycles = cycles[:min(len(cycles), source.MaxCycles)]
}

// cycleName is a name as it is shown. Nobody has checked those of groups out of scope.
func cycleName(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if len(name) <= mostCycleName {
		return name
	}
	end := mostCycleName
	for !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end] + "…"
}

// tangle is groups and which are in which.
type tangle struct {
	name  func(int32) string
	inner func(int32) []int32
	set   []int32 // of each group that was visited completely, the number of its set, from 1
}

func (t *tangle) compare(a, b int32) int {
	return cmp.Or(cmp.Compare(t.name(a), t.name(b)), cmp.Compare(a, b))
}

// sets returns the groups by sets in which each is reached from each, by Tarjan's algorithm. It does not call itself:
// a directory may put as many groups into each other as it likes.
func (t *tangle) sets() (all [][]int32) {
	order, low, next := make([]int32, len(t.set)), make([]int32, len(t.set)), make([]int, len(t.set))
	var path, open []int32
	visited := int32(0)
	visit := func(g int32) {
		visited++
		order[g], low[g] = visited, visited
		path, open = append(path, g), append(open, g)
	}
	for root := range t.set {
		if order[root] == 0 {
			visit(int32(root))
		}
		for len(path) > 0 {
			at := path[len(path)-1]
			if groups := t.inner(at); next[at] < len(groups) {
				to := groups[next[at]]
				next[at]++
				if order[to] == 0 {
					visit(to)
				} else if t.set[to] == 0 {
					low[at] = min(low[at], order[to])
				}
				continue
			}
			if path = path[:len(path)-1]; len(path) > 0 {
				above := path[len(path)-1]
				low[above] = min(low[above], low[at])
			}
			if low[at] < order[at] {
				continue
			}
			from := len(open) - 1
			for open[from] != at {
				from--
			}
			some := slices.Clone(open[from:])
			open = open[:from]
			all = append(all, some)
			for _, g := range some {
				t.set[g] = int32(len(all))
			}
		}
	}
	return all
}

// around returns a shortest cycle of several groups from a group that is in one. Each group contains the next one, and
// the last one the first. Of equally short ones the names decide, so that two reads name the same.
func (t *tangle) around(start int32) []int32 {
	before := map[int32]int32{}
	for level := []int32{start}; len(level) > 0; {
		at := level[0]
		level = level[1:]
		for _, to := range slices.SortedFunc(slices.Values(t.inner(at)), t.compare) {
			if to == start && at != start {
				cycle := []int32{at}
				for at = before[at]; at != start; at = before[at] {
					cycle = append(cycle, at)
				}
				cycle = append(cycle, start)
				slices.Reverse(cycle)
				return cycle
			}
			if _, seen := before[to]; !seen && to != start && t.set[to] == t.set[start] {
				before[to] = at
				level = append(level, to)
			}
		}
	}
	return nil
}

// named returns the names of a cycle's groups; of a long one, the number of those left out in their place.
func (t *tangle) named(cycle []int32) []string {
	names := []string{}
	for _, g := range cycle[:min(len(cycle), mostInCycle)] {
		names = append(names, t.name(g))
	}
	if more := len(cycle) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return names
}
