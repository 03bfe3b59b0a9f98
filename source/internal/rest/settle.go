package rest

import (
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/source"
)

// MostInFlight is how many calls a reader has in flight at most.
const MostInFlight = 16

// CheckSizes fills in the defaults of a page's size and of the calls in flight, and holds both to their bounds.
func CheckSizes(name string, pageSize *int, mostOnPage int, inFlight *int) error {
	setDefault(pageSize, mostOnPage)
	setDefault(inFlight, 4)
	if *pageSize < 1 || *pageSize > mostOnPage || *inFlight < 1 || *inFlight > MostInFlight {
		return fmt.Errorf("%s: %w: a page has 1 to %d people, and members of 1 to %d groups are read at once", name,
			source.ErrInvalid, mostOnPage, MostInFlight)
	}
	return nil
}

// SortTexts puts lists of texts in order, at any depth, for providers that keep them as sets.
func SortTexts(value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, inner := range v {
			SortTexts(inner)
		}
	case []any:
		texts := make([]string, 0, len(v))
		for _, inner := range v {
			SortTexts(inner)
			if text, is := inner.(string); is {
				texts = append(texts, text)
			}
		}
		if len(texts) == len(v) {
			slices.Sort(texts)
			for i, text := range texts {
				v[i] = text
			}
		}
	}
}

// Nobody is the error of a read that showed no people: rights or filter are wrong, and nobody counts as gone by it.
func Nobody(name, rights string) error {
	return fmt.Errorf("%s: %w: it showed nobody at all: see whether %s, and whether the filter is right", name,
		source.ErrIncomplete, rights)
}
