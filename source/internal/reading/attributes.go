package reading

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Attributes are decoded from JSON to what source.Identity holds: without nulls, and refusing numbers that are not
// exact as float64.
type Attributes map[string]any

// UnmarshalJSONFrom reads an object, or null as none.
func (a *Attributes) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*a = nil
	var all map[string]any
	if err := json.UnmarshalDecode(d, &all, exact); err != nil {
		return err
	}
	if all != nil {
		*a = withoutNulls(all).(map[string]any)
	}
	return nil
}

var exact = json.WithUnmarshalers(json.UnmarshalFromFunc(func(d *jsontext.Decoder, into *any) error {
	if d.PeekKind() != '0' {
		return json.SkipFunc
	}
	text, err := d.ReadValue()
	if err != nil {
		return err
	}
	number, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !strings.ContainsAny(string(text), ".eE") && (number > 1<<53 || number < -1<<53) {
		return fmt.Errorf("the number %.50s is too large to be kept exactly: write it as a string", text)
	}
	*into = number
	return nil
}))

func withoutNulls(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			if inner == nil {
				delete(value, name)
			} else {
				value[name] = withoutNulls(inner)
			}
		}
		return value
	case []any:
		kept := value[:0]
		for _, inner := range value {
			if inner != nil {
				kept = append(kept, withoutNulls(inner))
			}
		}
		return kept
	}
	return value
}
