// Package textfile reads text files of people, in the encodings in which their programs save them.
package textfile

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"
)

// Byte order marks.
var (
	markUTF8    = []byte{0xEF, 0xBB, 0xBF}
	markUTF16LE = []byte{0xFF, 0xFE}
	markUTF16BE = []byte{0xFE, 0xFF}
	markUTF32LE = []byte{0xFF, 0xFE, 0, 0}
)

// Decode returns a file's text in UTF-8, without a byte order mark, its lines ended by \n. It takes UTF-8 with and
// without marks, UTF-16 with one, and the line ends of Windows, Unix and old Macs, mixed if need be.
func Decode(data []byte) ([]byte, error) {
	var err error
	switch {
	case bytes.HasPrefix(data, markUTF32LE):
		return nil, ErrEncoding
	case bytes.HasPrefix(data, markUTF16LE), bytes.HasPrefix(data, markUTF16BE):
		if len(data)%2 != 0 {
			return nil, errHalf
		}
		if data, err = unicode.UTF16(unicode.BigEndian, unicode.ExpectBOM).NewDecoder().Bytes(data); err != nil {
			return nil, err
		}
		for bytes.HasPrefix(data, markUTF8) {
			data = data[len(markUTF8):]
		}
	default:
		for bytes.HasPrefix(data, markUTF8) { // a program that adds a mark to a file that has one makes two
			data = data[len(markUTF8):]
		}
	}
	// the second condition finds UTF-16 without a mark
	if !utf8.Valid(data) || bytes.IndexByte(data[:min(2, len(data))], 0) >= 0 {
		return nil, ErrEncoding
	}
	if bytes.IndexByte(data, '\r') < 0 {
		return data, nil
	}
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(data, []byte("\r"), []byte("\n")), nil
}

var errHalf = errors.New("it is cut short: it is in UTF-16, and half a character stands at its end")

// ErrEncoding is the error for a text in none of the encodings that Decode takes.
var ErrEncoding = errors.New("it is not in UTF-8: save it as UTF-8")
