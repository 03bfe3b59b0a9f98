package access

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a time span that people write as "2h30m". In JSON it is that string.
type Duration time.Duration

// Std is the span as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes the span as "2h30m0s".
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads "2h30m"; a bare number is refused, since nobody can tell its unit.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("a duration is written as text, for example \"2h30m\", not %s", data)
	}
	span, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration: write for example \"2h30m\"", s)
	}
	*d = Duration(span)
	return nil
}
