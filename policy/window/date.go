package window

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Date is a day in UTC; its written form is "2027-03-01".
type Date struct{ time.Time }

// String returns the written form.
func (d Date) String() string { return d.Format(time.DateOnly) }

// MarshalText is String.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// MarshalJSON hides the one of time.Time.
func (d Date) MarshalJSON() ([]byte, error) { return []byte(strconv.Quote(d.String())), nil }

// UnmarshalText reads a day.
func (d *Date) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil || t.Year() < 2000 {
		return fmt.Errorf("write a date, for example 2027-03-01")
	}
	d.Time = t
	return nil
}

// UnmarshalJSON hides the one of time.Time.
func (d *Date) UnmarshalJSON(text []byte) error {
	return d.UnmarshalText([]byte(strings.Trim(string(text), `"`)))
}
