package reviewpage_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// node is an element of a page.
type node struct {
	name  string
	attrs map[string]string
	kids  []*node
	words string // of this element and all within, in order
}

// read reads a page back. The pages are well-formed XML, so what is read is what a browser sees: a value that broke out
// of its place would be an element or an attribute here.
func read(t *testing.T, page string) *node {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(page))
	root := &node{}
	open := []*node{root}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err, page)
		switch token := token.(type) {
		case xml.StartElement:
			n := &node{name: token.Name.Local, attrs: make(map[string]string)}
			for _, a := range token.Attr {
				n.attrs[a.Name.Local] = a.Value
			}
			open[len(open)-1].kids = append(open[len(open)-1].kids, n)
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			for _, n := range open {
				n.words += string(token)
			}
		}
	}
	require.Len(t, open, 1)
	return root
}

// all returns the elements of a name within, or all of them.
func (n *node) all(name string) (found []*node) {
	if n == nil {
		return nil
	}
	for _, kid := range n.kids {
		if name == "" || kid.name == name {
			found = append(found, kid)
		}
		found = append(found, kid.all(name)...)
	}
	return found
}

// id returns the element of an id; nil: there is none.
func (n *node) id(id string) *node {
	for _, e := range n.all("") {
		if e.attrs["id"] == id {
			return e
		}
	}
	return nil
}

// class returns the elements of a class.
func (n *node) class(class string) (found []*node) {
	for _, e := range n.all("") {
		for _, c := range strings.Fields(e.attrs["class"]) {
			if c == class {
				found = append(found, e)
			}
		}
	}
	return found
}

// text returns what the element says, in one line.
func (n *node) text() string {
	if n == nil {
		return ""
	}
	return strings.Join(strings.Fields(n.words), " ")
}

// fact returns what a card says of one thing.
func (n *node) fact(name string) string {
	for _, div := range n.all("div") {
		if dt := div.all("dt"); len(dt) == 1 && dt[0].text() == name {
			var lines []string
			for _, dd := range div.all("dd") {
				lines = append(lines, dd.text())
			}
			return strings.Join(lines, " | ")
		}
	}
	return ""
}
