package strictyaml

import (
	"unicode"

	"go.yaml.in/yaml/v3"
)

// FailWithin records a problem at a character of a text that was read from a node.
func (r *Reader) FailWithin(n *yaml.Node, path string, offset int, format string, args ...any) {
	line, column := r.Within(n, offset)
	r.Fail(&yaml.Node{Line: line, Column: column}, path, format, args...)
}

// Within finds the place in the file of a character of a text. The file may write the text in quotes, with escapes, or
// over several lines; so the text's characters are looked for one after the other, spaces left out.
func (r *Reader) Within(n *yaml.Node, offset int) (line, column int) {
	at := cursor{lines: r.lines, line: n.Line - 1, column: n.Column - 1}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		at.line, at.column = at.line+1, 0
	}
	for i, c := range []rune(n.Value) {
		if unicode.IsSpace(c) {
			continue
		}
		if !at.find(c) {
			return n.Line, n.Column
		}
		if i >= offset {
			return at.line + 1, at.column + 1
		}
		at.column++
	}
	return at.line + 1, at.column + 1
}

// cursor is a place in a file, from 0.
type cursor struct {
	lines        [][]rune
	line, column int
}

// find goes to the next place where the character stands.
func (c *cursor) find(r rune) bool {
	for ; c.line < len(c.lines); c.line, c.column = c.line+1, 0 {
		for ; c.column < len(c.lines[c.line]); c.column++ {
			if c.lines[c.line][c.column] == r {
				return true
			}
		}
	}
	return false
}
