package evidence

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/castellan-io/castellan/display"
)

// MaxLine is how many bytes a line may have, with its line feed. An item is far smaller, unless hundreds decide it, and
// a hostile file must not fill a reader's memory.
const MaxLine = 4 << 20

// encodeLine returns a canonical line and its hash. Kinds and hashes need no escaping in JSON.
func encodeLine(seq int, kind string, body []byte, prev string) (line []byte, hash string) {
	hash = hashLine(prev, seq, kind, body)
	line = make([]byte, 0, len(body)+256)
	line = append(line, `{"seq":`...)
	line = strconv.AppendInt(line, int64(seq), 10)
	line = append(line, `,"kind":"`...)
	line = append(line, kind...)
	line = append(line, `","body":`...)
	line = append(line, body...)
	line = append(line, `,"prev":"`...)
	line = append(line, prev...)
	line = append(line, `","hash":"`...)
	line = append(line, hash...)
	return append(line, "\"}\n"...), hash
}

func hashLine(prev string, seq int, kind string, body []byte) string {
	sum := sha256.New()
	var length []byte
	for _, field := range [][]byte{[]byte(prev), strconv.AppendInt(nil, int64(seq), 10), []byte(kind), body} {
		length = append(strconv.AppendInt(length[:0], int64(len(field)), 10), ':')
		sum.Write(length)
		sum.Write(field)
		sum.Write([]byte{'\n'})
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// encodeBody returns the value as canonical JSON. Invalid UTF-8 becomes U+FFFD, which encoding/json escapes when it
// replaces bytes, but not when it writes what was read back; hence the round trip.
func encodeBody[T any](value T) ([]byte, error) {
	body, err := json.Marshal(value)
	if err != nil || !bytes.Contains(body, []byte(`\ufffd`)) {
		return body, err
	}
	var read T
	if err := json.Unmarshal(body, &read); err != nil {
		return nil, err
	}
	return json.Marshal(read)
}

// decodeBody reads a body, and refuses what is not in the form that bodyOf gives it: a repeated or unknown key, one of
// another case, a space.
func decodeBody[T any](body []byte) (value T, err error) {
	if err := json.Unmarshal(body, &value); err != nil {
		return value, fmt.Errorf("its body cannot be read: %w", err)
	}
	form, err := json.Marshal(value)
	if err != nil {
		return value, fmt.Errorf("its body cannot be read: %w", err)
	}
	if !bytes.Equal(form, body) {
		return value, fmt.Errorf("its body is not in the form that this version of Castellan writes, from byte %d on",
			commonPrefix(form, body)+1)
	}
	return value, nil
}

// commonPrefix returns the length of the common prefix.
func commonPrefix(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// lineReader reads lines and checks that each is complete, canonical, and follows the one before.
type lineReader struct {
	scan *bufio.Scanner
	seq  int    // number of the last line read
	head string // its hash
}

var errTruncated = errors.New("it does not end with a line feed: the file was cut")

func newLineReader(r io.Reader) *lineReader {
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, MaxLine)
	scan.Split(func(data []byte, atEnd bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			return i + 1, data[:i+1], nil
		}
		if atEnd && len(data) > 0 {
			return 0, nil, errTruncated
		}
		return 0, nil, nil
	})
	return &lineReader{scan: scan}
}

// next returns the next line's kind and body, or io.EOF.
func (c *lineReader) next() (kind string, body []byte, err error) {
	if !c.scan.Scan() {
		switch err := c.scan.Err(); {
		case err == nil:
			return "", nil, io.EOF
		case errors.Is(err, bufio.ErrTooLong):
			return "", nil, fmt.Errorf("line %d: it is longer than %s bytes", c.seq+1, display.Number(MaxLine))
		default:
			return "", nil, fmt.Errorf("line %d: %w", c.seq+1, err)
		}
	}
	c.seq++
	if kind, body, err = c.check(c.scan.Bytes()); err != nil {
		return "", nil, fmt.Errorf("line %d: %w", c.seq, err)
	}
	return kind, body, nil
}

func (c *lineReader) check(line []byte) (kind string, body []byte, err error) {
	var l struct {
		Seq        int
		Kind       string
		Body       json.RawMessage
		Prev, Hash string
	}
	if !utf8.Valid(line) {
		return "", nil, errors.New("it is not UTF-8")
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return "", nil, fmt.Errorf("it is no line of an evidence pack: %w", err)
	}
	form, hash := encodeLine(c.seq, l.Kind, l.Body, c.head)
	switch {
	case bytes.Equal(form, line):
		c.head = hash
		return l.Kind, l.Body, nil
	case l.Seq != c.seq:
		return "", nil, fmt.Errorf("its number is %d: lines are missing, doubled or out of order", l.Seq)
	case l.Prev != c.head:
		return "", nil, errors.New("it does not follow the line before it: one of them is not the one that was written")
	case l.Hash != hash:
		return "", nil, errors.New("its hash is not that of its content: it was changed after it was written")
	}
	return "", nil, errors.New("it is not in the form that Castellan writes")
}
