package report_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/report"
)

// node is an element of a page.
type node struct {
	name  string
	attrs map[string]string
	kids  []*node
	words string // of this element and all within, in order
	depth []string
}

// read writes the page and reads it back. The page is well-formed XML, so what is read is what a browser sees: a value
// that broke out of its place would be an element or an attribute here.
func read(t *testing.T, r report.Report) (*node, string) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, r.HTML(&out))
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
	return root, out.String()
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

// part returns the section of the key.
func (n *node) part(t *testing.T, key string) *node {
	t.Helper()
	for _, s := range n.all("section") {
		if s.attrs["id"] == key {
			return s
		}
	}
	require.Fail(t, "no such section", key)
	return nil
}

// summary returns the summary's line of the section with the key.
func (n *node) summary(t *testing.T, key string) []string {
	t.Helper()
	for _, row := range n.all("section")[0].all("tr") {
		if links := row.all("a"); len(links) == 1 && links[0].attrs["href"] == "#"+key {
			var cells []string
			for _, cell := range row.kids {
				cells = append(cells, strings.TrimSpace(cell.words))
			}
			return cells
		}
	}
	require.Fail(t, "no such line", key)
	return nil
}

// requireContains and saysNot are as Contains, without the whole page in the message.
func requireContains(t *testing.T, page, words string) {
	t.Helper()
	require.True(t, strings.Contains(page, words), "%q is missing", words)
}

func requireNotContains(t *testing.T, page, words string) {
	t.Helper()
	require.False(t, strings.Contains(page, words), "%q is there", words)
}
