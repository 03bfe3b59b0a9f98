package access

import (
	"fmt"
	"strings"
)

const maxReasons = 3

// ReasonsInWords returns the reasons for holding something: of each mapping or rule one source group and the number of
// the others, and only the first few of those.
func ReasonsInWords(reasons []Reason) string {
	type giver struct {
		kind ReasonKind
		name string
	}
	var order []giver
	of := map[giver][]Reason{}
	for _, r := range reasons {
		g := giver{r.Kind, r.Name}
		if len(of[g]) == 0 {
			order = append(order, g)
		}
		of[g] = append(of[g], r)
	}
	var words []string
	for _, g := range order[:min(len(order), maxReasons)] {
		word := of[g][0].String()
		switch more := len(of[g]) - 1; {
		case more == 1:
			word += " and 1 other source group"
		case more > 1:
			word += fmt.Sprintf(" and %d other source groups", more)
		}
		words = append(words, word)
	}
	if more := len(order) - maxReasons; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, "; ")
}
