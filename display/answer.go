package display

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// Answer returns a copy of an answer in which every text is in one line, with nothing invisible and no terminal
// controls, for people who read it with other tools, such as Temporal's CLI. Bytes stay as they are, and the original
// is not changed.
func Answer[T any](of T) T {
	v := reflect.ValueOf(&of).Elem()
	if isPlain(v) {
		return of
	}
	made, _ := visible(v).Interface().(T)
	return made
}

// isPlain reports whether nothing in an answer has to be replaced, which is the usual case.
func isPlain(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return inline(v.String()) == v.String()
	case reflect.Pointer, reflect.Interface:
		return v.IsNil() || isPlain(v.Elem())
	case reflect.Slice, reflect.Array:
		if raw, ok := v.Interface().(json.RawMessage); ok {
			return bytes.Equal(visibleJSON(raw), raw)
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return true
		}
		for i := range v.Len() {
			if !isPlain(v.Index(i)) {
				return false
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if !isPlain(key) || !isPlain(v.MapIndex(key)) {
				return false
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && !isPlain(v.Field(i)) {
				return false
			}
		}
	}
	return true
}

// visible copies a value that is not plain; it never writes to what the value shares with others.
func visible(v reflect.Value) reflect.Value {
	made := reflect.New(v.Type()).Elem()
	made.Set(v)
	switch v.Kind() {
	case reflect.String:
		made.SetString(inline(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			made.Set(reflect.New(v.Type().Elem()))
			made.Elem().Set(visible(v.Elem()))
		}
	case reflect.Interface:
		if !v.IsNil() {
			made.Set(visible(v.Elem()))
		}
	case reflect.Slice:
		if raw, ok := v.Interface().(json.RawMessage); ok {
			made.SetBytes(visibleJSON(raw))
		} else if !v.IsNil() && v.Type().Elem().Kind() != reflect.Uint8 {
			made.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				made.Index(i).Set(visible(v.Index(i)))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			made.Index(i).Set(visible(v.Index(i)))
		}
	case reflect.Map:
		if !v.IsNil() {
			made.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
			keys := v.MapKeys()
			slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
			for _, key := range keys {
				made.SetMapIndex(visible(key), visible(v.MapIndex(key)))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				made.Field(i).Set(visible(v.Field(i)))
			}
		}
	}
	return made
}

// visibleJSON is visible for a JSON text, which stays as it is if nothing has to be replaced: some are hashed.
func visibleJSON(raw json.RawMessage) json.RawMessage {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if len(raw) == 0 || decoder.Decode(&value) != nil || isPlain(reflect.ValueOf(&value).Elem()) {
		return raw
	}
	made, err := json.Marshal(Answer(value))
	if err != nil {
		return raw
	}
	return made
}

// inline returns a text in one line, with all its spaces: it may be a name.
func inline(text string) string {
	if strings.ContainsAny(text, "\n\r\t\v\f\u0085\u2028\u2029") {
		text = strings.Map(func(r rune) rune {
			if strings.ContainsRune("\n\r\t\v\f\u0085\u2028\u2029", r) {
				return ' '
			}
			return r
		}, strings.ReplaceAll(text, "\r\n", "\n"))
	}
	return Visible(text)
}
