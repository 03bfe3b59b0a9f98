package kit

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"go.temporal.io/sdk/converter"

	"github.com/castellan-io/castellan/messages"
)

// Bounds of the search for codes. A workflow may not think for longer than a second, also where somebody sends it as
// much as Temporal carries, made to be slow.
const (
	mostLookedAt   = 16 << 10  // bytes of a body that is larger than it may be
	mostStrings    = 20_000    // strings of one body; one with more is looked at as it stands
	mostNormalized = 256 << 10 // bytes of a text of which other writings of letters are known
	mostCodes      = 200       // codes in one body
)

// A code has 26 letters and digits, and is sent in fives.
const (
	codeLength = 26
	codeGroup  = 5
)

// escapes are line ends and the like as JSON writes them, in a body that cannot be read as JSON.
var escapes = regexp.MustCompile(`\\[nrtbf]|\\u[0-9a-fA-F]{4}`)

// made is what programs make for a proof, which nobody types: a MAC, and a UUID.
var made = regexp.MustCompile(`^[0-9a-f]{64}$|^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// codesIn are the hashes of what was typed as a code, or looks like one, anywhere in a body: also in one that cannot be
// read, under a name that is misspelt, and parted by whatever is neither a letter nor a digit.
func codesIn(name string, raw converter.RawValue) []string {
	data := lookedAt(name, raw)
	typed, texts, whole := textsOf(data)
	if !whole {
		texts = append(texts, escapes.ReplaceAllStringFunc(string(data), unescaped))
	}
	for _, text := range texts {
		typed = append(typed, codesInText(text, true)...)
	}
	if len(texts) > 1 { // one that was cut into several
		typed = append(typed, codesInText(strings.Join(texts, "\n"), false)...)
	}
	var hashes []string
	for _, text := range typed {
		if hash := messages.CodeHash(text); hash != "" && !slices.Contains(hashes, hash) {
			hashes = append(hashes, hash)
		}
		if len(hashes) == mostCodes {
			break
		}
	}
	return hashes
}

// lookedAt is what of a body is looked for codes: of one that is larger than its name allows, and so refused unread,
// the beginning.
func lookedAt(name string, raw converter.RawValue) []byte {
	data := raw.Payload().GetData()
	if len(data) > min(messages.MostBody(name), messages.MostPolicy) {
		return data[:min(len(data), mostLookedAt)]
	}
	return data
}

// isMade reports whether a program made a text for a proof.
func isMade(text string) bool { return (len(text) == 64 || len(text) == 36) && made.MatchString(text) }

// unescaped is what an escape of JSON stands for; where that cannot be told, something that parts.
func unescaped(escape string) string {
	if escape[1] != 'u' {
		return " "
	}
	var text string
	if json.Unmarshal([]byte(`"`+escape+`"`), &text) != nil {
		return " "
	}
	return text
}

// textsOf are the values under the name code, at any depth, and all strings of a body as they are read, in the order in
// which they stand there; whole says that it could be read to its end.
func textsOf(data []byte) (codes, texts []string, whole bool) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	named := false
	for {
		token, err := decoder.Token()
		if err == nil && len(texts) == mostStrings {
			return codes, texts, false
		}
		if err != nil {
			return codes, texts, errors.Is(err, io.EOF) && json.Valid(data)
		}
		is, ok := token.(string)
		if ok && !isMade(is) {
			texts = append(texts, is)
			if named && len(is) <= MostText {
				codes = append(codes, is)
			}
		}
		named = ok && strings.EqualFold(is, "code")
	}
}

// codesInText finds what may be a code in a text: first what is set as codes are sent, or in one piece; then, where it
// is to look loosely, every other run of letters of the right length that has a digit, as nearly every code has and few
// sentences have.
func codesInText(text string, loose bool) []string {
	var sent, others []string
	words := strings.FieldsFunc(normalized(text),
		func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	may := make([]bool, len(words)) // a word may be part of a code
	for i, word := range words {
		words[i] = folded(word)
		may[i] = len(words[i]) <= codeLength && inCodes(words[i])
	}
	end, length := 0, 0 // of the words from the i-th on that come to the length of a code at most
	for i, word := range words {
		if len(sent) >= mostCodes || len(others) >= 4*mostCodes {
			break
		}
		if len(word) > codeLength && len(word) <= 4*codeLength && loose {
			others = append(others, stuckTo(word)...)
		}
		if end < i {
			end, length = i, 0
		}
		for end < len(words) && may[end] && length+len(words[end]) <= codeLength {
			length += len(words[end])
			end++
		}
		if length == codeLength {
			switch run := words[i:end]; {
			case inFives(run):
				sent = append(sent, strings.Join(run, ""))
			case loose && slices.ContainsFunc(run, hasDigit):
				others = append(others, strings.Join(run, ""))
			}
		}
		if end > i {
			length -= len(word)
		}
	}
	return append(sent, others...)
}

// stuckTo are the parts of a word that may be a code to which something is stuck.
func stuckTo(word string) (codes []string) {
	for at := 0; at+codeLength <= len(word); at++ {
		if part := word[at : at+codeLength]; hasDigit(part) && inCodes(part) {
			codes = append(codes, part)
		}
	}
	return codes
}

// inFives reports whether words that come to the length of a code are parted as codes are sent.
func inFives(words []string) bool {
	for _, word := range words[:len(words)-1] {
		if len(word)%codeGroup != 0 {
			return false
		}
	}
	return true
}

// normalized is a text in plain type: full width letters, ligatures and the like as what they stand for.
func normalized(text string) string {
	if norm.NFKC.IsNormalString(text) {
		return text
	}
	cut := min(len(text), mostNormalized)
	return norm.NFKC.String(text[:cut]) + text[cut:]
}

// folded is a word as messages.FoldCode has it, where that could be part of a code.
func folded(word string) string {
	if len(word) > 8*codeLength {
		return word
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r == '0':
			return 'O'
		case r == '1' || r == 'ı':
			return 'I'
		case r == 'ſ':
			return 'S'
		}
		return r
	}, word)
}

func hasDigit(text string) bool { return strings.ContainsAny(text, "234567") }

// inCodes reports whether nothing but what codes are made of stands in a text.
func inCodes(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '2' || r > '7') }) < 0
}

// nearCode reports whether a text is as long as a code or nearly so: what differs from a code in few letters helps to
// guess it.
func nearCode(text string) bool {
	n := utf8.RuneCountInString(messages.FoldCode(text))
	return n >= codeLength-6 && n <= codeLength+6
}

// nearly is a code as it is sent, of which some letters may be missing or wrong, and nothing else.
var nearly = regexp.MustCompile(`^[A-Z2-9]{4,6}( [A-Z2-9]{4,6}){3,4}( [A-Z2-9]{1,3})?$`)

// meantAsCode reports whether something in a body was meant as a code, so that it was a wrong one if it is nobody's.
func meantAsCode(name string, raw converter.RawValue) bool {
	codes, texts, _ := textsOf(lookedAt(name, raw))
	if slices.ContainsFunc(codes, nearCode) {
		return true
	}
	for _, text := range texts {
		if len(text) > MostText {
			continue // a code and nothing else is not as long
		}
		words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		if line := foldAll(words); nearly.MatchString(line) && strings.ContainsAny(line, "23456789") {
			return true
		}
	}
	return false
}

func foldAll(words []string) string {
	folded := make([]string, len(words))
	for i, word := range words {
		folded[i] = messages.FoldCode(word)
	}
	return strings.Join(folded, " ")
}

// comesWithCodes reports whether there is something in a body to burn, or that was meant to be.
func comesWithCodes(name string, raw converter.RawValue) bool {
	return raw.Payload() != nil && (len(codesIn(name, raw)) > 0 || meantAsCode(name, raw))
}
