package activities

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// What is known of somebody's use of apps.
const (
	useSome    = "some"
	useNone    = "none" // of the apps they have access to, none lately or ever, as far as all of them are known
	useUnknown = "unknown"
)

// lastUse says in words when somebody last used anything, and whether they used something since an instant.
func lastUse(f policy.Facts, since time.Time) (words, used string) {
	var last time.Time
	unknown, never := f.Apps == nil, true
	for _, u := range f.Apps {
		if !u.Known() {
			unknown = true
			continue
		}
		never = never && u.Never
		if u.Last.After(last) {
			last = u.Last
		}
	}
	switch {
	case last.After(since):
		return day(last), useSome
	case !last.IsZero() && unknown:
		return day(last) + " or later", useUnknown
	case unknown:
		return "not known", useUnknown
	case never || last.IsZero():
		return "never", useNone
	}
	return day(last), useNone
}

// appsOf are the apps somebody has access to, with each one's last use.
func appsOf(f policy.Facts) string {
	var all []string
	for _, u := range f.Apps {
		word := u.App + "/" + u.Site
		switch {
		case u.Never:
			word += " (never used)"
		case !u.Last.IsZero():
			word += " (" + day(u.Last) + ")"
		}
		all = append(all, word)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

func domainOf(p access.Person) string {
	_, domain, _ := strings.Cut(strings.ToLower(p.Email), "@")
	return domain
}

// countCells and addCells carry counts in a row of cells.
func countCells(counts map[string]int) []string {
	var cells []string
	for _, key := range sorted(counts) {
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
