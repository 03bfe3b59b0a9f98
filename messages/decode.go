package messages

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/castellan-io/castellan/access"
)

// MostBody returns how many bytes the body of an input, signal or update may have, by its name or workflow type. A
// larger one is refused unread.
func MostBody(name string) int {
	if most, known := mostBodies[name]; known {
		return most
	}
	return 32 << 10
}

// Limits of one value in an input, signal or update.
const (
	MostPolicy  = 3 << 19 // bytes of a policy in JSON, where < > and & take six; a payload may have 2 MB
	MostComment = 1000    // characters of a comment
	MostName    = 320     // bytes of the name of a person or a thing
	MostText    = 4000    // bytes of a reason or a note
	mostPayload = 2 << 20 // bytes of Temporal's largest payload
)

var (
	// mostBodies are the bodies that may be larger than others.
	mostBodies = map[string]int{
		OrgSync: mostPayload, TemporaryGrant: mostPayload, AccessReview: mostPayload, Reconcile: mostPayload,
		Link:        512 << 10,
		Report:      mostPayload,
		ApplyPolicy: mostPayload, DecideItems: 1 << 20, ProvisionNow: 256 << 10, LookAt: 256 << 10,
		RunProgress: 256 << 10,
	}
	// mostOf are the fields that may have more than MostName bytes, by their keys.
	mostOf = map[string]int{
		"reason": MostText, "note": MostText, "why": MostText, "message": MostText, "trigger": MostText,
		"target":   1100, // group: and 255 characters of four bytes
		"if":       MostText,
		"plan":     100,
		"after":    MostText, // the cursor of a page
		"cursor":   MostText,
		"rules":    MostText,
		"changed":  MostText,
		"findings": MostText,
		"workflow": mostID,
		"policy":   MostPolicy,
	}
	// mostElements are the lists that may have more than 100 elements, by their keys.
	mostElements = map[string]int{"items": MostItems, "lines": MostItems, "people": 4000, "groups": 4000,
		"recount": 4000, "asks": 4000,
		"identities": MostLinkWave}
)

// DecodeInternal reads the messages of workflows and activities. These may be of two versions for a while, so unknown
// keys are ignored; otherwise it is like access.Decode.
func DecodeInternal(data []byte, into any) error { return access.DecodeKnown(data, into) }

// Decode reads the body of an input, signal or update: one JSON object with the documented keys and no others, each
// once, and no value larger than its limit.
func Decode(data []byte, into any) error {
	if err := access.Decode(data, into); err != nil {
		return err
	}
	return CheckSizes(into)
}

// CheckSizes returns an error if a value of an input, signal or update is larger than its limit.
func CheckSizes(body any) error { return checkSizes("", reflect.ValueOf(body)) }

func checkSizes(key string, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return checkSizes(key, v.Elem())
		}
	case reflect.String:
		return checkText(key, v.String(), v.Len())
	case reflect.Slice:
		if raw, ok := v.Interface().(json.RawMessage); ok {
			return checkText(key, string(raw), EscapedSize(raw))
		}
		most := 100
		if n, known := mostElements[key]; known {
			most = n
		}
		if v.Len() > most {
			return fmt.Errorf("%s has %d elements; at most %d are allowed", key, v.Len(), most)
		}
		for i := range v.Len() {
			if err := checkSizes(key, v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		if v.Len() > 100 {
			return fmt.Errorf("%s has %d elements; at most 100 are allowed", key, v.Len())
		}
		keys := v.MapKeys()
		// the same error each time
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			if err := checkSizes(key, k); err != nil {
				return err
			}
			if err := checkSizes(key, v.MapIndex(k)); err != nil {
				return err
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !field.IsExported() || name == "state" && field.Type.Kind() == reflect.Pointer || name == "progress" {
				continue // what a history passes to the next is limited as a whole
			}
			if name == "" {
				name = key
			}
			if err := checkSizes(name, v.Field(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// EscapedSize returns how many bytes the JSON takes when the data converter writes it again, by itself or as part of a
// state: there < > and & take six.
func EscapedSize(raw []byte) int {
	size := len(raw)
	for _, c := range raw {
		if c == '<' || c == '>' || c == '&' {
			size += 5
		}
	}
	return size
}

func checkText(key, text string, size int) error {
	if strings.ContainsRune(text, 0) || strings.Contains(text, `\u0000`) {
		return fmt.Errorf("%s has a character U+0000, which cannot be recorded", key)
	}
	if key == "comment" {
		if n := utf8.RuneCountInString(text); n > MostComment {
			return fmt.Errorf("comment has %d characters; at most %d are allowed", n, MostComment)
		}
		return nil
	}
	most, known := mostOf[key]
	if !known {
		most = MostName
	}
	if size > most {
		return fmt.Errorf("%s has %d bytes; at most %d are allowed", key, size, most)
	}
	return nil
}
