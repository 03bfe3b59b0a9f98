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

// Bounds of the search for codes. A workflow task must not take longer than a second, even for the largest and most
// hostile input.
const (
	maxScanned     = 16 << 10  // bytes of a body that is larger than it may be
	mostStrings    = 20_000    // strings of one body; one with more is looked at as it stands
	mostNormalized = 256 << 10 // bytes of a text of which other writings of letters are known
	mostCodes      = 200       // codes in one body
)

// A code has 26 letters and digits, and is sent in groups of five.
const (
	codeLength = 26
	codeGroup  = 5
)

// escapes matches JSON's escapes, for bodies that are not valid JSON.
var escapes = regexp.MustCompile(`\\[nrtbf]|\\u[0-9a-fA-F]{4}`)

// proofPattern matches what programs send as proof, which nobody types: a MAC, and a UUID.
var proofPattern = regexp.MustCompile(`^[0-9a-f]{64}$|^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// codesIn returns the hashes of everything in a body that was given as a code or looks like one: also in invalid JSON,
// under misspelt names, and with separators other than letters and digits.
func codesIn(name string, raw converter.RawValue) []string {
	data := scannedPart(name, raw)
	typed, texts, whole := decodeTexts(data)
	if !whole {
		texts = append(texts, escapes.ReplaceAllStringFunc(string(data), unescaped))
	}
	for _, text := range texts {
		typed = append(typed, codesInText(text, true)...)
	}
	if len(texts) > 1 { // a code split over several strings
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

// scannedPart returns the part of a body to search for codes: of one that is too large, and so refused unread, only the
// beginning.
func scannedPart(name string, raw converter.RawValue) []byte {
	data := raw.Payload().GetData()
	if len(data) > min(messages.MostBody(name), messages.MostPolicy) {
		return data[:min(len(data), maxScanned)]
	}
	return data
}

// isProof reports whether a program made a text for a proof.
func isProof(text string) bool {
	return (len(text) == 64 || len(text) == 36) && proofPattern.MatchString(text)
}

// unescaped decodes a JSON escape, to a space if it is white space or invalid.
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

// decodeTexts returns the values of keys named code, at any depth, and all strings of a body, in order; whole reports
// whether the body could be read to its end.
func decodeTexts(data []byte) (codes, texts []string, whole bool) {
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
		if ok && !isProof(is) {
			texts = append(texts, is)
			if named && len(is) <= MostText {
				codes = append(codes, is)
			}
		}
		named = ok && strings.EqualFold(is, "code")
	}
}

// codesInText finds possible codes in a text: first those grouped as sent, or in one piece; then, if loose, every other
// run of letters of the right length with a digit, which nearly every code has and few sentences have.
func codesInText(text string, loose bool) []string {
	var sent, others []string
	words := strings.FieldsFunc(normalized(text),
		func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	may := make([]bool, len(words)) // a word may be part of a code
	for i, word := range words {
		words[i] = foldWord(word)
		may[i] = len(words[i]) <= codeLength && onlyCodeLetters(words[i])
	}
	end, length := 0, 0 // of the words from i on that are together no longer than a code
	for i, word := range words {
		if len(sent) >= mostCodes || len(others) >= 4*mostCodes {
			break
		}
		if len(word) > codeLength && len(word) <= 4*codeLength && loose {
			others = append(others, codesWithin(word)...)
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
			case groupedAsSent(run):
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

// codesWithin returns the parts of a longer word that may be codes.
func codesWithin(word string) (codes []string) {
	for at := 0; at+codeLength <= len(word); at++ {
		if part := word[at : at+codeLength]; hasDigit(part) && onlyCodeLetters(part) {
			codes = append(codes, part)
		}
	}
	return codes
}

// groupedAsSent reports whether words with the length of a code are grouped as codes are sent.
func groupedAsSent(words []string) bool {
	for _, word := range words[:len(words)-1] {
		if len(word)%codeGroup != 0 {
			return false
		}
	}
	return true
}

// normalized returns a text with full width letters, ligatures and so on replaced by plain ones.
func normalized(text string) string {
	if norm.NFKC.IsNormalString(text) {
		return text
	}
	cut := min(len(text), mostNormalized)
	return norm.NFKC.String(text[:cut]) + text[cut:]
}

// foldWord folds a word like messages.FoldCode, if it could be part of a code.
func foldWord(word string) string {
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

// onlyCodeLetters reports whether a text consists of the letters and digits of codes.
func onlyCodeLetters(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '2' || r > '7') }) < 0
}

// nearCode reports whether a text is about as long as a code: one with few wrong letters helps to guess the code.
func nearCode(text string) bool {
	n := utf8.RuneCountInString(messages.FoldCode(text))
	return n >= codeLength-6 && n <= codeLength+6
}

// nearCodePattern matches a code as sent, perhaps with some letters missing or wrong.
var nearCodePattern = regexp.MustCompile(`^[A-Z2-9]{4,6}( [A-Z2-9]{4,6}){3,4}( [A-Z2-9]{1,3})?$`)

// meantAsCode reports whether something in a body was meant as a code, right or wrong.
func meantAsCode(name string, raw converter.RawValue) bool {
	codes, texts, _ := decodeTexts(scannedPart(name, raw))
	if slices.ContainsFunc(codes, nearCode) {
		return true
	}
	for _, text := range texts {
		if len(text) > MostText {
			continue // longer than a code
		}
		words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		if line := foldAll(words); nearCodePattern.MatchString(line) && strings.ContainsAny(line, "23456789") {
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

// comesWithCodes reports whether a body has codes, or something meant as one.
func comesWithCodes(name string, raw converter.RawValue) bool {
	return raw.Payload() != nil && (len(codesIn(name, raw)) > 0 || meantAsCode(name, raw))
}
