package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
)

// Page is one page of a list.
type Page[T any] struct {
	Items []T
	Next  string // the bare cursor of the next page; "" at the end of the list
}

// Links are the places where a list has its next page.
type Links struct {
	Next string // links.next: a bare cursor or a URL
	Meta string // meta.next: a bare cursor, in the audit event lists
}

// DecodePage reads {"data":[…],"links":{…},"meta":{…}} and passes each item to take, so that a page is never in memory
// twice. A response without a data array is an error: a list must not look empty because it is missing.
func DecodePage[T any](r io.Reader, take func(T) error) (Links, error) {
	var links Links
	found := false
	err := DecodeObject(r, func(name string, d *json.Decoder) error {
		switch name {
		case "data":
			found = true
			return EachItem(d, take)
		case "links", "meta":
			var l struct{ Next *string }
			if err := d.Decode(&l); err != nil {
				return err
			}
			if l.Next != nil && name == "links" {
				links.Next = *l.Next
			} else if l.Next != nil {
				links.Meta = *l.Next
			}
			return nil
		}
		return skip(d)
	})
	if err == nil && !found {
		err = errors.New(`it has no "data"`)
	}
	return links, err
}

// DecodeData reads {"data":…} into v.
func DecodeData(r io.Reader, v any) error {
	found := false
	err := DecodeObject(r, func(name string, d *json.Decoder) error {
		if name != "data" {
			return skip(d)
		}
		found = true
		return d.Decode(v)
	})
	if err == nil && !found {
		err = errors.New(`it has no "data"`)
	}
	return err
}

// DecodeObject reads one JSON object and nothing after it. member is called for each member, and must consume its
// value.
func DecodeObject(r io.Reader, member func(name string, d *json.Decoder) error) error {
	d := json.NewDecoder(r)
	if err := expect(d, '{'); err != nil {
		return err
	}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return broken(err)
		}
		name, ok := token.(string)
		if !ok {
			return fmt.Errorf("a member's name is missing at byte %d", d.InputOffset())
		}
		if err := member(name, d); err != nil {
			return broken(err)
		}
	}
	if err := expect(d, '}'); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		if err == nil {
			err = errors.New("something follows the JSON object")
		}
		return err
	}
	return nil
}

// EachItem reads an array item by item.
func EachItem[T any](d *json.Decoder, take func(T) error) error {
	if err := expect(d, '['); err != nil {
		return err
	}
	for d.More() {
		var item T
		if err := d.Decode(&item); err != nil {
			return err
		}
		if err := take(item); err != nil {
			return err
		}
	}
	return expect(d, ']')
}

func expect(d *json.Decoder, want json.Delim) error {
	token, err := d.Token()
	if err != nil {
		return broken(err)
	}
	if got, ok := token.(json.Delim); !ok || got != want {
		return fmt.Errorf("%q expected at byte %d", want.String(), d.InputOffset())
	}
	return nil
}

func skip(d *json.Decoder) error {
	var ignored json.RawMessage
	return d.Decode(&ignored)
}

func broken(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Cursor returns the bare cursor of a link. In Atlassian's v2 lists the link is the cursor itself, in its v1 lists a
// URL; a cursor may contain slashes, plus and equals signs, so only a scheme or a cursor parameter makes a link a URL.
// A URL without a cursor is an error: taking it for the end would cut the list short.
func Cursor(link string) (string, error) {
	link = strings.TrimSpace(link)
	_, query, asked := strings.Cut(link, "?")
	if !strings.HasPrefix(link, "https://") && !strings.HasPrefix(link, "http://") && !asked {
		return link, nil
	}
	query, _, _ = strings.Cut(query, "#")
	for pair := range strings.SplitSeq(query, "&") {
		value, found := strings.CutPrefix(pair, "cursor=")
		if !found || value == "" {
			continue
		}
		// Unescaped as in a path: an unescaped plus sign belongs to the cursor, which has no spaces.
		cursor, err := url.PathUnescape(value)
		if err != nil {
			return "", errors.New("the link to the next page holds a cursor that is not escaped as it should be")
		}
		return cursor, nil
	}
	return "", errors.New("the link to the next page holds no cursor")
}

// MostCursor limits the bytes of a cursor: histories carry it.
const MostCursor = 8 << 10

// Next returns the cursor after a page that was requested with the cursor asked. A list that repeats its cursor would
// never end.
func Next(link, asked string) (string, error) {
	next, err := Cursor(link)
	if err != nil {
		return "", err
	}
	if len(next) > MostCursor {
		return "", fmt.Errorf("it goes on with a cursor of %d bytes; at most %d are taken", len(next), MostCursor)
	}
	if next != "" && next == asked {
		return "", errors.New("it goes on with a repeated cursor, the one that it was asked with")
	}
	return next, nil
}

// Path joins segments to an escaped path. Callers must have checked them with Segment.
func Path(segments ...string) string {
	var s strings.Builder
	for _, segment := range segments {
		s.WriteString("/" + url.PathEscape(segment))
	}
	return s.String()
}

// Segment reports whether an ID can be part of a path: not empty, no slash, no control characters, at most 255 bytes.
func Segment(id string) bool {
	return id != "" && id != "." && id != ".." && len(id) <= 255 &&
		!strings.ContainsFunc(id, func(r rune) bool { return r == '/' || r == '\\' || r <= ' ' || r == 0x7f })
}
