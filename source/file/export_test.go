package file

// SetMaxItem sets how large a person or group of JSON may be, and returns what undoes it.
func SetMaxItem(bytes int) (restore func()) {
	was := maxItem
	maxItem = bytes
	return func() { maxItem = was }
}
