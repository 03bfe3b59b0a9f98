package textfile

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// NewReader returns a reader of the text that Decode would make of everything in r, for files that are too large to be
// held in memory.
func NewReader(r io.Reader) io.Reader { return &reader{from: r} }

type reader struct {
	from io.Reader
	text io.Reader // nil: nothing was read yet
	err  error
}

func (r *reader) Read(p []byte) (int, error) {
	if r.text == nil && r.err == nil {
		r.text, r.err = begin(r.from)
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.text.Read(p)
	if errors.Is(err, encoding.ErrInvalidUTF8) {
		err = ErrEncoding
	}
	r.err = err
	return n, err
}

// begin looks at the marks.
func begin(from io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(from)
	head, err := peek(buffered, len(markUTF32LE))
	switch {
	case err != nil:
		return nil, err
	case bytes.HasPrefix(head, markUTF32LE):
		return nil, ErrEncoding
	case bytes.HasPrefix(head, markUTF16LE), bytes.HasPrefix(head, markUTF16BE):
		decoder := unicode.UTF16(unicode.BigEndian, unicode.ExpectBOM).NewDecoder()
		buffered = bufio.NewReader(transform.NewReader(&pairs{from: buffered}, decoder))
	}
	for head, err = peek(buffered, 3); err == nil && bytes.Equal(head, markUTF8); head, err = peek(buffered, 3) {
		_, _ = buffered.Discard(len(markUTF8))
	}
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(head[:min(2, len(head))], 0) >= 0 { // UTF-16 that does not say so
		return nil, ErrEncoding
	}
	return transform.NewReader(buffered, transform.Chain(encoding.UTF8Validator, lineEnds{})), nil
}

// peek returns the next n bytes, or fewer at the end.
func peek(r *bufio.Reader, n int) ([]byte, error) {
	head, err := r.Peek(n)
	if err == io.EOF {
		err = nil
	}
	return head, err
}

// pairs ends in an error if half a character of UTF-16 is left.
type pairs struct {
	from io.Reader
	odd  bool
}

func (p *pairs) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	p.odd = p.odd != (n%2 == 1)
	if err == io.EOF && p.odd {
		err = errHalf
	}
	return n, err
}

// lineEnds makes every end of a line \n.
type lineEnds struct{ transform.NopResetter }

func (lineEnds) Transform(to, from []byte, atEOF bool) (written, read int, err error) {
	for read < len(from) {
		if written == len(to) {
			return written, read, transform.ErrShortDst
		}
		if from[read] != '\r' {
			run := bytes.IndexByte(from[read:], '\r')
			if run < 0 {
				run = len(from) - read
			}
			n := copy(to[written:], from[read:read+run])
			written, read = written+n, read+n
			continue
		}
		if read+1 == len(from) && !atEOF {
			return written, read, transform.ErrShortSrc // \n may follow
		}
		to[written] = '\n'
		written, read = written+1, read+1
		if read < len(from) && from[read] == '\n' {
			read++
		}
	}
	return written, read, nil
}
