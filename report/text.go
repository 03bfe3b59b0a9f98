package report

import "strconv"

// grouped writes 10000 as 10,000.
func grouped(n int) string {
	if n < 0 {
		return "−" + grouped(-n)
	}
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// some writes "1 row" and "2 rows".
func some(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}
