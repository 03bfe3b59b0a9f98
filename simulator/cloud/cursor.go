package cloud

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// cursor is the position in a list. It contains the whole query, since every other parameter is ignored beside it.
// Encoded, it always has the characters / + and =, which a caller has to escape in a URL.
type cursor struct {
	Operation string          `json:"o"`
	Query     json.RawMessage `json:"q,omitempty"`
	After     string          `json:"a,omitempty"` // key of the last item seen
	Position  int             `json:"p,omitempty"` // for lists with numbered items
}

const (
	cursorHead = "c/"
	cursorTail = "+="
)

func (c cursor) String() string {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings, a number and JSON that came from Marshal
	}
	return cursorHead + base64.StdEncoding.EncodeToString(text) + cursorTail
}

// parseCursor decodes a cursor of the same operation. ok is false for anything else.
func parseCursor(operation, text string) (c cursor, ok bool) {
	inner, headed := strings.CutPrefix(text, cursorHead)
	inner, tailed := strings.CutSuffix(inner, cursorTail)
	if !headed || !tailed {
		return c, false
	}
	raw, err := base64.StdEncoding.DecodeString(inner)
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return c, false
	}
	return c, c.Operation == operation && c.Position >= 0
}
