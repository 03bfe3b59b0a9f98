package evidence_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/evidence"
)

// node is an element of a page.
type node struct {
	name  string
	attrs map[string]string
	kids  []*node
	words string // of this element and all within, in order
	depth []string
}

// read writes the pack's page and reads it back. The page is well-formed XML, so what is read is what a browser sees: a
// value that broke out of its place would be an element or an attribute here.
func read(t testing.TB, pack []byte) *node {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, evidence.HTML(bytes.NewReader(pack), &out))
	decoder := xml.NewDecoder(bytes.NewReader(out.Bytes()))
	root := &node{}
	open := []*node{root}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			n := &node{name: token.Name.Local, attrs: map[string]string{}}
			for _, a := range token.Attr {
				n.attrs[a.Name.Local] = a.Value
			}
			for _, above := range open[1:] {
				n.depth = append(n.depth, above.name)
			}
			parent := open[len(open)-1]
			parent.kids = append(parent.kids, n)
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
func (n *node) all(name string) []*node {
	var found []*node
	for _, kid := range n.kids {
		if name == "" || kid.name == name {
			found = append(found, kid)
		}
		found = append(found, kid.all(name)...)
	}
	return found
}

// section returns the section of the id.
func (n *node) section(t *testing.T, id string) *node {
	t.Helper()
	for _, s := range n.all("section") {
		if s.attrs["id"] == id {
			return s
		}
	}
	require.Fail(t, "no such section", id)
	return nil
}

// requireContains is as Contains, without the whole page in the message.
func requireContains(t *testing.T, page, words string) {
	t.Helper()
	require.True(t, strings.Contains(page, words), "%q is missing", words)
}
