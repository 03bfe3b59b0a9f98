package ldap

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/castellan-io/castellan/source"
)

const attrObjectGUID = "objectGUID"

// isGUID reports whether an attribute holds a GUID in Active Directory's binary form.
func isGUID(attribute string) bool {
	return strings.EqualFold(attribute, attrObjectGUID) || strings.EqualFold(attribute, "mS-DS-ConsistencyGuid")
}

// guidText returns a GUID as it is usually written. Its first three parts are stored with the lowest byte first.
func guidText(b []byte) (string, error) {
	if len(b) != 16 {
		return "", fmt.Errorf("a GUID has 16 bytes, this one %d", len(b))
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", swapped(b[0:4]), swapped(b[4:6]), swapped(b[6:8]), b[8:10], b[10:16]), nil
}

// guidBytes is the inverse of guidText.
func guidBytes(text string) ([]byte, error) {
	parts := strings.Split(text, "-")
	if len(parts) != 5 || len(text) != 36 {
		return nil, fmt.Errorf("%.50q is not a GUID", text)
	}
	var b []byte
	for i, size := range []int{4, 2, 2, 2, 6} {
		part, err := hex.DecodeString(parts[i])
		if err != nil || len(part) != size {
			return nil, fmt.Errorf("%.50q is not a GUID", text)
		}
		if i < 3 {
			part = swapped(part)
		}
		b = append(b, part...)
	}
	return b, nil
}

func swapped(b []byte) []byte {
	turned := make([]byte, len(b))
	for i, each := range b {
		turned[len(b)-1-i] = each
	}
	return turned
}

// keyOf returns an entry's key. Missing is true if the entry has none that we may see.
func (r *Reader) keyOf(entry *ldap.Entry) (key string, missing bool, err error) {
	values := valuesOf(entry, r.o.Key)
	switch {
	case len(values) == 0:
		return "", true, nil
	case len(values) > 1:
		return "", false, fmt.Errorf("it has %d values of %s, where a key has one", len(values), r.o.Key)
	case isGUID(r.o.Key):
		key, err = guidText(values[0])
	case !utf8.Valid(values[0]):
		err = fmt.Errorf("its %s is not text: another attribute must be the key", r.o.Key)
	default:
		key = string(values[0])
		if strings.EqualFold(r.o.Key, "entryUUID") {
			key = strings.ToLower(key)
		}
	}
	if err == nil && (key == "" || len(key) > source.MaxKey) {
		err = fmt.Errorf("its %s has %d bytes: a key has from 1 to %d", r.o.Key, len(key), source.MaxKey)
	}
	return key, false, err
}

// keyFilter returns the filter that finds an entry by its key.
func (r *Reader) keyFilter(key string) (string, error) {
	if key == "" || len(key) > source.MaxKey || !utf8.ValidString(key) {
		return "", invalid("%.50q is not a key", key)
	}
	value := ldap.EscapeFilter(key)
	if isGUID(r.o.Key) {
		b, err := guidBytes(key)
		if err != nil {
			return "", invalid("%v", err)
		}
		var escaped strings.Builder
		for _, each := range b {
			fmt.Fprintf(&escaped, `\%02x`, each)
		}
		value = escaped.String()
	}
	return "(" + r.o.Key + "=" + value + ")", nil
}

// valuesOf returns the values of an attribute, whose name servers write in any case, and twice if they have ranges.
func valuesOf(entry *ldap.Entry, name string) [][]byte {
	var values [][]byte
	for _, attribute := range entry.Attributes {
		if strings.EqualFold(attribute.Name, name) {
			values = append(values, attribute.ByteValues...)
		}
	}
	return values
}
