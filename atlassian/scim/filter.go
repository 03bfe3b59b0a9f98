package scim

import (
	"encoding/json"
	"net/url"
	"strconv"
)

// equals returns a filter on one attribute: userName eq "ana@acme.example". The API knows no other kind.
func equals(attribute, value string) string {
	quoted, err := json.Marshal(value) // RFC 7644 §3.4.2.2: the value is a JSON string
	if err != nil {
		return ""
	}
	return attribute + " eq " + string(quoted)
}

func listQuery(filter string, start, count int) url.Values {
	q := url.Values{"startIndex": {strconv.Itoa(start)}, "count": {strconv.Itoa(count)}}
	if filter != "" {
		q.Set("filter", filter)
	}
	return q
}
