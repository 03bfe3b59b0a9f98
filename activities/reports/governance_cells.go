package reports

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/policy/condition"
)

// appsOf are the apps somebody has access to, with each one's last use.
func appsOf(f condition.Facts) string {
	var all []string
	for _, u := range f.Apps {
		word := u.App + "/" + u.Site
		switch {
		case u.Never:
			word += " (never used)"
		case !u.Last.IsZero():
			word += " (" + session.Date(u.Last) + ")"
		}
		all = append(all, word)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func domainOf(p access.Person) string {
	return access.DomainOf(p.Email)
}

// countCells and addCells carry counts in a row of cells.
func countCells(counts map[string]int) []string {
	var cells []string
	for _, key := range session.SortedKeys(counts) {
		cells = append(cells, key+"="+strconv.Itoa(counts[key]))
	}
	return cells
}

func addCells(sum map[string]int, cells []string) error {
	for _, cell := range cells {
		at := strings.LastIndexByte(cell, '=')
		if at < 0 {
			return fmt.Errorf("the count %q has no number", cell)
		}
		n, err := strconv.Atoi(cell[at+1:])
		if err != nil {
			return fmt.Errorf("the count %q has no number", cell)
		}
		sum[cell[:at]] += n
	}
	return nil
}
