package condition

import (
	"fmt"
	"slices"
	"unicode"
)

// inStandIn takes the place of the helper in("group") in the text given to CEL, which keeps the word for its operator.
// It is as long, so that the places of errors stay right.
const inStandIn = "_i"

// standIn puts the stand-in for every in that begins an operand and is called: in("ops") is the helper, "ops" in groups
// the operator. Strings and comments are left alone.
func standIn(text string) (string, error) {
	s := scanner{text: []rune(text)}
	for s.next() {
		switch word := string(s.text[s.from:s.to]); {
		case word == inStandIn:
			return "", &Error{s.from, fmt.Sprintf("undeclared reference to '%s'; write in(\"group\")", inStandIn)}
		case word == "in" && !s.operand && !s.selects && s.called():
			copy(s.text[s.from:], []rune(inStandIn))
			s.operand = true
		case word == "in":
			s.operand = false
		default:
			s.operand = true
		}
		s.selects = false
	}
	return string(s.text), nil
}

// scanner goes through the words of a condition: identifiers, keywords and numbers.
type scanner struct {
	text     []rune
	from, to int  // the word
	operand  bool // an operand ends here, so that an operator would follow
	selects  bool // a dot stands before
}

// next finds the next word, and notes what stands between.
func (s *scanner) next() bool {
	for i := s.to; i < len(s.text); {
		switch r := s.text[i]; {
		case unicode.IsSpace(r):
			i++
		case s.comment(i):
			i = s.line(i)
		case r == '"' || r == '\'' || r == '`':
			i = s.quoted(i, false)
			s.operand, s.selects = true, false
		case wordRune(r):
			s.from = i
			for i < len(s.text) && wordRune(s.text[i]) {
				i++
			}
			if i < len(s.text) && (s.text[i] == '"' || s.text[i] == '\'') && prefix(s.text[s.from:i]) {
				i = s.quoted(i, slices.ContainsFunc(s.text[s.from:i],
					func(r rune) bool { return r == 'r' || r == 'R' }))
				s.operand, s.selects = true, false
				continue
			}
			s.to = i
			return true
		default:
			s.operand = r == ')' || r == ']' || r == '}'
			s.selects = r == '.'
			i++
		}
	}
	return false
}

// called reports whether a parenthesis opens after the word.
func (s *scanner) called() bool {
	for i := s.to; i < len(s.text); {
		switch {
		case unicode.IsSpace(s.text[i]):
			i++
		case s.comment(i):
			i = s.line(i)
		default:
			return s.text[i] == '('
		}
	}
	return false
}

func (s *scanner) comment(i int) bool {
	return s.text[i] == '/' && i+1 < len(s.text) && s.text[i+1] == '/'
}

// line returns the end of the line.
func (s *scanner) line(i int) int {
	for i < len(s.text) && s.text[i] != '\n' {
		i++
	}
	return i
}

// quoted returns the end of the string that opens at i, with one quote or with three; the end of the text if it never
// closes.
func (s *scanner) quoted(i int, raw bool) int {
	quote := s.text[i : i+1]
	if three := s.text[i:min(i+3, len(s.text))]; len(three) == 3 && three[1] == three[0] && three[2] == three[0] {
		quote = three
	}
	for i += len(quote); i < len(s.text); i++ {
		switch {
		case s.text[i] == '\\' && !raw:
			i++
		case i+len(quote) <= len(s.text) && slices.Equal(s.text[i:i+len(quote)], quote):
			return i + len(quote)
		}
	}
	return len(s.text)
}

// prefix reports whether the word before a quote belongs to the string: r for raw, b for bytes.
func prefix(word []rune) bool {
	return len(word) <= 2 && !slices.ContainsFunc(word,
		func(r rune) bool { return r != 'r' && r != 'R' && r != 'b' && r != 'B' })
}

func wordRune(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
