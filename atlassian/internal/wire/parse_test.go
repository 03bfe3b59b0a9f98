package wire

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestCursor(t *testing.T) {
	tests := map[string]struct {
		link, want string
	}{
		"end":                 {"", ""},
		"bare":                {"kloHX1ZQVasDAkx_P48NYQ", "kloHX1ZQVasDAkx_P48NYQ"},
		"bare with a slash":   {"Qh8E1QpVV00ys/xI7pHI7Q..", "Qh8E1QpVV00ys/xI7pHI7Q.."},
		"bare that begins so": {"/x+y/z==", "/x+y/z=="},
		"url": {"https://api.atlassian.com/admin/v1/orgs/1/users?cursor=ab%2Fcd%2Be%3D%3D",
			"ab/cd+e=="},
		"url, other parameters":  {"https://api.atlassian.com/x?limit=20&cursor=abc&y=1#top", "abc"},
		"url, plus not escaped":  {"https://api.atlassian.com/x?cursor=a+b==", "a+b=="},
		"relative url":           {"/admin/v1/orgs?cursor=abc", "abc"},
		"only a query":           {"?cursor=abc", "abc"},
		"spaces around the link": {"  abc\n", "abc"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Cursor(test.link)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
	for name, link := range map[string]string{
		"no cursor":      "https://api.atlassian.com/x?limit=20",
		"empty cursor":   "https://api.atlassian.com/x?cursor=",
		"no query":       "https://api.atlassian.com/x",
		"badly escaped":  "https://api.atlassian.com/x?cursor=%zz",
		"in other words": "https://api.atlassian.com/x?nextcursor=abc",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Cursor(link)
			require.Error(t, err)
		})
	}
}

// Whatever the API's cursor is, it is found in both forms of a link.
func TestBothFormsOfALinkHoldTheSameCursor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cursor := rapid.StringMatching(`[A-Za-z0-9+/=_.:-]{1,64}`).Draw(t, "cursor")
		bare, err := Cursor(cursor)
		require.NoError(t, err)
		require.Equal(t, cursor, bare)
		fromURL, err := Cursor("https://api.atlassian.com/admin/v1/orgs?" + url.Values{"cursor": {cursor},
			"limit": {"1"}}.Encode())
		require.NoError(t, err)
		require.Equal(t, cursor, fromURL)
	})
}

func TestARepeatedCursorIsAnError(t *testing.T) {
	_, err := Next("abc", "abc")
	require.ErrorContains(t, err, "repeated cursor")
	_, err = Next("https://api.atlassian.com/x?cursor=abc", "abc")
	require.ErrorContains(t, err, "repeated cursor")
	next, err := Next("", "")
	require.NoError(t, err)
	require.Empty(t, next)
}

func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "abc", "a/b+c==", "?cursor=a", "https://h/p?cursor=%41", "https://h?cursor=%",
		"http://"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, link string) {
		cursor, err := Cursor(link)
		if err != nil {
			require.Empty(t, cursor)
			return
		}
		require.Equal(t, strings.TrimSpace(link) == "", cursor == "", "only no link at all is the end of a list")
	})
}

func FuzzErrorBody(f *testing.F) {
	for _, seed := range []string{
		"", `{"errors":[{"code":"A","detail":"d"}]}`, `{"code":401,"message":"m"}`, `{"status":403,"error":"e"}`,
		`{"errors":[]}`,
		`{"schemas":[],"scimType":"t","detail":"d"}`, "<html>", `{"errors":{}}`, "\x00\xff", `{"code":1e999}`,
		strings.Repeat("é", 400), "key-1234567",
	} {
		f.Add(seed, 409)
	}
	f.Fuzz(func(t *testing.T, body string, status int) {
		e := &Error{Status: status, Rate: unknownRate()}
		e.answered(Request{Write: true}, http.Header{}, []byte(body), "key-1234567")
		require.NotNil(t, e.Kind)
		for _, text := range []string{e.Code, e.Title, e.Detail} {
			require.LessOrEqual(t, utf8.RuneCountInString(text), maxText)
			require.True(t, utf8.ValidString(text))
			require.False(t, strings.ContainsFunc(text, unicode.IsControl))
			require.NotContains(t, text, "key-1234567")
		}
	})
}

func TestSegment(t *testing.T) {
	for _, good := range []string{"557058:6b1d-11", "712020:a|b", "-", "5b10ac8d82e05b22cc7d4ef5"} {
		require.True(t, Segment(good), good)
	}
	for _, bad := range []string{"", ".", "..", "a/b", `a\b`, "a b", "a\n", strings.Repeat("x", 256)} {
		require.False(t, Segment(bad), bad)
	}
	require.Equal(t, "/v2/a%3Fb/c%25", Path("v2", "a?b", "c%"))
}
