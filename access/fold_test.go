package access_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
)

func TestFoldComparesNamesComposedOrNot(t *testing.T) {
	for _, pair := range [][2]string{
		{"Büro-Admins", "Bu\u0308ro-admins"}, {"BÜRO", "bu\u0308ro"}, {"eng-Team", "ENG-team"},
		{"J\u030c", "\u01f0"},      // composed in lower case alone
		{"\u212a-team", "k-TEAM"},  // the Kelvin sign is a K
		{"\uac00", "\u1100\u1161"}, // Hangul
		{"Å", "\u212b"},            // the Ångström sign is an Å
		{"Ở", "O\u0309\u031b"},     // marks in another order
	} {
		require.True(t, access.SameName(pair[0], pair[1]), "%q and %q", pair[0], pair[1])
		require.True(t, access.GroupEntitlement(pair[0]).Same(access.GroupEntitlement(pair[1])))
	}
	for _, pair := range [][2]string{{"Büro", "Buro"}, {"ﬁn", "fin"}, {"straße", "strasse"}, {"а", "a"}, {"²", "2"}} {
		require.False(t, access.SameName(pair[0], pair[1]), "%q and %q", pair[0], pair[1])
	}
}

func TestFoldIsOneFormOfAllForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "name")
		folded := access.Fold(s)
		require.Equal(t, folded, access.Fold(folded), "folding twice")
		require.Equal(t, folded, access.Fold(norm.NFD.String(s)))
		require.Equal(t, folded, access.Fold(norm.NFC.String(s)))
	})
}

func TestFoldAddressTakesDomainsInLettersAndInPunycode(t *testing.T) {
	const want = "ana@bücher.example"
	for _, form := range []string{"ana@bücher.example", "Ana@BÜCHER.example", "ana@bu\u0308cher.example",
		"ana@xn--bcher-kva.example", "ANA@XN--BCHER-KVA.EXAMPLE"} {
		require.Equal(t, want, access.FoldAddress(form), form)
		require.Equal(t, "bücher.example", access.DomainOf(form), form)
		require.Contains(t, access.AddressForms(form), form[:4]+"xn--bcher-kva.example", form)
	}
	require.Equal(t, []string{"ana@acme.example"}, access.AddressForms("ana@acme.example"))
	require.Equal(t, "straße.example", access.FoldDomain("xn--strae-oqa.example"))
	require.NotEqual(t, access.FoldDomain("straße.example"), access.FoldDomain("strasse.example"))
	require.Equal(t, "xn--.example", access.FoldDomain("XN--.example"), "what is no punycode stays")
	require.Equal(t, "a.xn--.example", access.FoldDomain("a.XN--.example"))
	require.Equal(t, "acme.example", access.DomainOf("ana@acme.example"))
	require.Empty(t, access.DomainOf("712020:abc"))
	require.NotEqual(t, access.FoldAddress("\u212aim@acme.example"), access.FoldAddress("kim@acme.example"),
		"the Kelvin sign is nobody's K")
	require.NotEqual(t, access.FoldAddress("СAROL@acme.example"), access.FoldAddress("carol@acme.example"))
	require.Equal(t, "éva@acme.example", access.FoldAddress("ÉVA@ACME.example"))
	require.Equal(t, access.FoldAddress("André@acme.example"), access.FoldAddress("andre\u0301@acme.example"))
}

func TestFoldAddressIsOneFormOfAllForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[a-zé.]{1,8}@(xn--)?[a-zäöüßéя-]{1,10}\.example`).Draw(t, "address")
		folded := access.FoldAddress(s)
		require.Equal(t, folded, access.FoldAddress(folded))
		for _, form := range access.AddressForms(s) {
			require.Equal(t, folded, access.FoldAddress(form), form)
		}
	})
}
