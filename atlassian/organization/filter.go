package organization

import (
	"slices"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// checks collects the first error of a query, so that it is refused before it is sent.
type checks struct {
	operation string
	err       error
}

func (c *checks) refuse(format string, args ...any) {
	if c.err == nil {
		c.err = wire.Invalid(pkg, c.operation, format, args...)
	}
}

// values checks a filter and drops duplicates, which the API refuses. A filter that is empty but not nil is refused:
// leaving it out would ask for everybody where the caller meant nobody.
func (c *checks) values(name string, all []string, most int) []string {
	if all == nil {
		return nil
	}
	if len(all) == 0 {
		c.refuse("%s is empty; nil means no such filter", name)
	}
	kept := make([]string, 0, len(all))
	for _, v := range all {
		if v == "" {
			c.refuse("%s holds an empty value", name)
		}
		if !slices.Contains(kept, v) {
			kept = append(kept, v)
		}
	}
	if len(kept) > most {
		c.refuse("%s holds %d values; the API takes at most %d in one call", name, len(kept), most)
	}
	return kept
}

func (c *checks) groups(name string, all []string, most int) []string {
	if all == nil {
		return nil
	}
	bare := make([]string, len(all))
	for i, v := range all {
		bare[i] = BareID(v)
	}
	return c.values(name, bare, most)
}

// limit checks a page size and returns the default for zero.
func (c *checks) limit(n, standard, most int) int {
	if n < 0 || n > most {
		c.refuse("a page of %d is out of range; the API takes 1 to %d", n, most)
	}
	if n == 0 {
		return standard
	}
	return n
}
