package condition

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// FactValue is one fact as conditions see it.
type FactValue struct {
	Name    string `json:"name"`
	Value   string `json:"value,omitempty"`
	Unknown string `json:"unknown,omitempty"` // why it is not known
}

// List returns every fact at an instant, by name, and in which identity sources the person is somebody.
func (f Facts) List(now time.Time) []FactValue {
	s := f.Ask(now, Constants{})
	var all []FactValue
	for _, fact := range factTypes {
		value, _ := s.ResolveName(fact.name)
		one := FactValue{Name: fact.name}
		switch v := value.(type) {
		case *types.Err:
			one.Unknown = v.String()
		case types.Timestamp:
			one.Value = v.UTC().Format(time.RFC3339)
		case ref.Val:
			one.Value = fmt.Sprint(v.Value())
		case []string:
			sorted := slices.Clone(v)
			slices.Sort(sorted)
			one.Value = strings.Join(sorted, ", ")
		}
		all = append(all, one)
	}
	for _, is := range f.Identities {
		one := FactValue{Name: fmt.Sprintf("identified(%q)", is.Source)}
		if identified, err := s.identified(is.Source); err != nil {
			one.Unknown = err.Error()
		} else {
			one.Value = strconv.FormatBool(identified)
		}
		all = append(all, one)
	}
	for _, use := range f.Apps {
		one := FactValue{Name: "last use of " + use.App + "/" + use.Site}
		switch {
		case use.Never:
			one.Value = "never"
		case use.Known():
			one.Value = use.Last.UTC().Format(time.RFC3339)
		default:
			one.Unknown = ErrUnknownUse.Error()
		}
		all = append(all, one)
	}
	return all
}
