package display

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf16"
)

// Safe is a text that a function of this package has written, or a word of the program's own: it is shown as it is.
type Safe string

// Fprintf is fmt.Fprintf with every argument passed through Terminal.
func Fprintf(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, sanitizeArgs(Terminal, args)...)
}

// Sprintf is fmt.Sprintf with every argument passed through Terminal: for texts such as notices, in which people take
// each line for the program's own.
func Sprintf(format string, args ...any) string {
	return fmt.Sprintf(format, sanitizeArgs(Terminal, args)...)
}

// Fprintln writes a text of several lines (Lines), and a line end.
func Fprintln(w io.Writer, text string) { _, _ = io.WriteString(w, Lines(text)+"\n") }

// sanitizeArgs applies a function to every argument that is, or prints as, a text.
func sanitizeArgs(safely func(string) string, args []any) []any {
	all := make([]any, len(args))
	for i, arg := range args {
		switch is := arg.(type) {
		case nil, bool, int, int64:
			all[i] = arg
		case Safe:
			all[i] = string(is)
		case Command:
			all[i] = is.String()
		case string:
			all[i] = safely(is)
		case error:
			all[i] = safely(is.Error())
		case fmt.Stringer:
			all[i] = safely(is.String())
		default:
			switch value := reflect.ValueOf(arg); value.Kind() {
			case reflect.String:
				all[i] = safely(value.String())
			case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8,
				reflect.Uint16, reflect.Uint32,
				reflect.Uint64, reflect.Float32, reflect.Float64:
				all[i] = arg
			default:
				all[i] = safely(fmt.Sprint(arg))
			}
		}
	}
	return all
}

// JSON writes an answer as JSON for people and programs: characters that a terminal would hide or obey are escaped.
func JSON(w io.Writer, answer any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		return err
	}
	_, err := io.WriteString(w, escaped(text.String()))
	return err
}

// escaped escapes invisible characters of a JSON text as JSON does: there are none outside its strings.
func escaped(text string) string {
	if strings.IndexFunc(text, invisible) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch high, low := utf16.EncodeRune(r); {
		case !invisible(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
