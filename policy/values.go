package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/castellan-io/castellan/policy/window"
)

// Share is a part of a whole, exact to a hundredth of a percent; its written form is "20%".
type Share int

// Percent is one percent.
const Percent Share = 100

// Exceeded reports whether part is more than this share of whole.
func (s Share) Exceeded(part, whole int) bool {
	return int64(part)*100*int64(Percent) > int64(s)*int64(whole)
}

// String returns the written form: "20%", "2.5%".
func (s Share) String() string {
	return strconv.FormatFloat(float64(s)/float64(Percent), 'f', -1, 64) + "%"
}

// MarshalText is String.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads "20%" or "2.5%", from 0% to 100% with at most two decimals.
func (s *Share) UnmarshalText(text []byte) error {
	number, found := strings.CutSuffix(string(text), "%")
	f, err := strconv.ParseFloat(number, 64)
	if !found || err != nil || strings.Trim(number, "0123456789.") != "" {
		return fmt.Errorf("write a percentage, for example 20%%")
	}
	exact := f * float64(Percent)
	if exact < 0 || exact > float64(100*Percent) {
		return fmt.Errorf("a percentage lies between 0%% and 100%%")
	}
	if math.Abs(exact-math.Round(exact)) > 1e-6 {
		return fmt.Errorf("a percentage has at most two decimals")
	}
	*s = Share(math.Round(exact))
	return nil
}

// Duration is a span of time as policies write it.
type Duration = window.Duration

// Date is a day as policies write it.
type Date = window.Date
