package access

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Fold returns the form in which names are compared: in lower case, and composed (NFC), so that an ü is an ü whether it
// was typed as one character or as a u and a diaeresis. It is only for comparing: Atlassian and people get the name as
// it is.
func Fold(name string) string {
	if ascii(name) {
		return strings.ToLower(name)
	}
	// Twice, since some letters exist in composed form in lower case only.
	return norm.NFC.String(strings.Map(unicode.ToLower, norm.NFC.String(name)))
}

// SameName reports whether two names are equal but for case and composition.
func SameName(a, b string) bool { return a == b || Fold(a) == Fold(b) }

// Same reports whether two written forms mean the same entitlement.
func (e Entitlement) Same(other Entitlement) bool { return SameName(string(e), string(other)) }

// Compose returns a text with its letters composed (NFC), and otherwise as it is.
func Compose(text string) string {
	if ascii(text) {
		return text
	}
	return norm.NFC.String(text)
}

// FoldDomain returns the form in which e-mail domains are compared: in lower case and in Unicode, not in punycode.
func FoldDomain(domain string) string {
	if ascii(domain) && !punycoded(domain) {
		return strings.ToLower(domain)
	}
	letters, err := idna.Lookup.ToUnicode(domain)
	if err == nil && strings.Count(letters, ".") == strings.Count(domain, ".") && !strings.HasPrefix(letters, ".") &&
		!strings.HasSuffix(letters, ".") && !strings.Contains(letters, "..") {
		return letters
	}
	return Fold(domain) // no domain that there can be
}

// FoldAddress returns the form in which e-mail addresses are compared. No letter becomes an ASCII letter that it looks
// like: the Kelvin sign stays different from a K.
func FoldAddress(address string) string {
	if ascii(address) && !punycoded(address) {
		return strings.ToLower(address)
	}
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return foldLocal(address)
	}
	return foldLocal(address[:at]) + "@" + FoldDomain(address[at+1:])
}

// foldLocal folds the part before the @.
func foldLocal(local string) string {
	if !strings.ContainsAny(local, "\u212a\u037e\u1fef") { // the characters that composing turns into ASCII
		local = Compose(local)
	}
	return strings.Map(func(r rune) rune {
		if l := unicode.ToLower(r); r < unicode.MaxASCII || l > unicode.MaxASCII {
			return l
		}
		return r
	}, local)
}

// SameAddress reports whether two e-mail addresses are equal but for case, composition and the form of the domain.
func SameAddress(a, b string) bool { return a == b || FoldAddress(a) == FoldAddress(b) }

// DomainOf returns the part of an e-mail address after the @, folded.
func DomainOf(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return ""
	}
	return FoldDomain(address[at+1:])
}

// AddressForms returns the forms of an e-mail address under which a directory may know it: as it is written, with the
// domain in Unicode, and with the domain in punycode; each once.
func AddressForms(address string) []string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 || ascii(address) && !punycoded(address) {
		return []string{address}
	}
	forms := []string{address}
	add := func(form string) {
		for _, known := range forms {
			if known == form {
				return
			}
		}
		forms = append(forms, form)
	}
	local, domain := address[:at], FoldDomain(address[at+1:])
	add(local + "@" + domain)
	if code, err := idna.Lookup.ToASCII(domain); err == nil {
		add(local + "@" + code)
	}
	return forms
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// punycoded reports whether a label of the domain may be written in punycode.
func punycoded(s string) bool {
	for i := 0; i+4 <= len(s); i++ {
		if s[i+2] == '-' && s[i+3] == '-' && (s[i]|0x20) == 'x' && (s[i+1]|0x20) == 'n' {
			return true
		}
	}
	return false
}
