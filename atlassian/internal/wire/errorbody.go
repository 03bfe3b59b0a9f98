package wire

import (
	"bytes"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxErrorBody = 64 << 10 // bytes read of a response that is not a success
	maxText      = 300      // characters kept of each text in it
)

type errorBody struct{ code, title, detail, reason string }

// parseErrorBody reads the error bodies of all administration APIs, and falls back to the plain text:
//
//	{"errors":[{"id","status","code","title","detail"}]}            application and API errors, v1 and v2
//	{"id","status","code","title","detail"}                         workspaces
//	{"code":401,"message":"…"}                                      the gateway
//	{"timestamp","status":403,"error","message","path","requestId"} domains
//	{"schemas":[…],"status":"409","scimType","detail"}              SCIM
//	{"error":"…","traceId":"…"}                                     SCIM's gateway
//	{"message","scimErrorType","responseStatus",…}                  SCIM group replacement
//	{"key":"…","context":{…}}                                       user management
func parseErrorBody(body []byte) errorBody {
	body = bytes.TrimSpace(body)
	var shape struct {
		Errors []struct{ Code, Title, Detail text }
		Code, Title, Detail, Message,
		Error, ScimType, ScimErrorType, Key text
		Context json.RawMessage
	}
	if len(body) == 0 {
		return errorBody{}
	}
	if err := json.Unmarshal(body, &shape); err != nil {
		return errorBody{detail: string(body)}
	}
	if len(shape.Errors) > 0 {
		first := shape.Errors[0]
		return errorBody{code: string(first.Code), title: string(first.Title), detail: string(first.Detail)}
	}
	said := errorBody{
		code:   first(shape.Code, shape.ScimType, shape.ScimErrorType, shape.Key),
		title:  first(shape.Title, shape.Error),
		detail: first(shape.Detail, shape.Message),
	}
	said.addContext(shape.Context)
	if said == (errorBody{}) {
		said.detail = string(body)
	}
	return said
}

// addContext reads what the user management API says beside the key: why an action is refused, which of its fields an
// identity provider owns, the domain that is not claimed, or what a change of the lifecycle failed of.
func (b *errorBody) addContext(context json.RawMessage) {
	var whole struct {
		Message, Domain text
		Reason          struct{ Key text }
	}
	if json.Unmarshal(context, &whole) != nil {
		return
	}
	b.reason = string(whole.Reason.Key)
	var fields map[string]struct{ Reason struct{ Key text } }
	if b.reason == "" && json.Unmarshal(context, &fields) == nil {
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			b.reason = first(text(b.reason), fields[name].Reason.Key)
		}
	}
	b.detail = first(text(b.detail), whole.Message, whole.Domain)
}

func first(texts ...text) string {
	for _, t := range texts {
		if t != "" {
			return string(t)
		}
	}
	return ""
}

// text accepts a string or a number, and ignores any other value: one odd member must not hide the rest.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*t = text(s)
	} else if len(data) > 0 && (data[0] == '-' || (data[0] >= '0' && data[0] <= '9')) {
		*t = text(data)
	}
	return nil
}

// clean makes an API's text safe for logs and people: one line, bounded, printable, and without the key.
func clean(s, key string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if key != "" {
		s = strings.ReplaceAll(s, key, "[key]")
	}
	count := 0
	for i := range s {
		if count == maxText-1 && utf8.RuneCountInString(s[i:]) > 1 {
			return s[:i] + "…"
		}
		count++
	}
	return s
}

// isHTML reports whether the response is a web page instead of JSON. start may be nil if the body was not read yet.
func isHTML(header http.Header, start []byte) bool {
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if media == "text/html" || media == "application/xhtml+xml" {
		return true
	}
	return bytes.HasPrefix(bytes.TrimSpace(start), []byte("<"))
}
