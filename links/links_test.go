package links_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/links"
)

var now = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

const key = "hunter2-0123456789-0123456789-01"

func signer(t require.TestingT, key string) *links.Signer {
	s, err := links.NewSigner([]byte(key))
	require.NoError(t, err)
	return s
}

func ana() links.Link {
	return links.Link{ID: "ID1", Org: "acme", Review: "admins:2026-11-22", Reviewer: "ana+reviews@acme.example",
		Expires: now.Add(time.Hour)}
}

// anyLink returns a link with arbitrary texts, including ones that nobody would type.
func anyLink(t *rapid.T) links.Link {
	text := rapid.OneOf(rapid.StringN(0, 60, 240),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 200), func(b []byte) string { return string(b) }))
	return links.Link{
		ID: text.Draw(t, "id"), Org: text.Draw(t, "org"), Review: text.Draw(t, "review"),
		Reviewer: text.Draw(t, "reviewer"),
		Expires:  time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "expires"), 0).UTC(),
	}
}

func TestALinkComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := anyLink(t)
		token := signer(t, key).Token(l)
		require.Regexp(t, `^[A-Za-z0-9_-]+$`, token)
		read, err := signer(t, key).Read(token, l.Expires.Add(-time.Nanosecond))
		require.NoError(t, err)
		require.Equal(t, l, read)
	})
}

func TestALinkEndsAtTheInstant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := anyLink(t)
		_, err := signer(t, key).Read(signer(t, key).Token(l),
			l.Expires.Add(time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "late"))))
		require.Equal(t, links.ErrLink, err)
	})
}

func TestNoByteOfATokenCanBeChanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := anyLink(t)
		token := []byte(signer(t, key).Token(l))
		at := rapid.IntRange(0, len(token)-1).Draw(t, "at")
		other := rapid.Byte().Filter(func(b byte) bool { return b != token[at] }).Draw(t, "byte")
		for _, forged := range []string{
			// as a rune: two bytes where it is beyond ASCII
			string(token[:at]) + string(other) + string(token[at+1:]),
			string(append(append(append([]byte{}, token[:at]...), other), token[at+1:]...)),
			string(append(append(append([]byte{}, token[:at]...), other), token[at:]...)),
			string(token[:at]),
		} {
			_, err := signer(t, key).Read(forged, l.Expires.Add(-time.Second))
			require.Equal(t, links.ErrLink, err, "%q", forged)
		}
	})
}

// TestEveryBitOfOneToken is exhaustive, since the last letter of a base64 text has unused bits.
func TestEveryBitOfOneToken(t *testing.T) {
	s := signer(t, key)
	for extra := range 3 {
		l := ana()
		l.Reviewer += strings.Repeat("x", extra)
		token := s.Token(l)
		for at := range len(token) {
			for bit := range 8 {
				forged := []byte(token)
				forged[at] ^= 1 << bit
				_, err := s.Read(string(forged), now)
				require.Equal(t, links.ErrLink, err)
			}
			for _, skipped := range []string{"\n", "\r"} {
				_, err := s.Read(token[:at]+skipped+token[at:], now)
				require.Equal(t, links.ErrLink, err)
			}
		}
		_, err := s.Read(token+"\n", now)
		require.Equal(t, links.ErrLink, err)
		_, err = s.Read(token, now)
		require.NoError(t, err)
	}
}

func TestAnotherKeyIsRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		other := rapid.StringN(links.ShortestKey, 80, -1).Filter(func(s string) bool { return s != key }).Draw(t, "key")
		_, err := signer(t, key).Read(signer(t, other).Token(ana()), now)
		require.Equal(t, links.ErrLink, err)
	})
}

func TestALongTokenIsNotRead(t *testing.T) {
	s, l := signer(t, key), ana()
	l.Reviewer = strings.Repeat("x", 1400)
	_, err := s.Read(s.Token(l), now)
	require.NoError(t, err)
	l.Reviewer = strings.Repeat("x", 1500)
	_, err = s.Read(s.Token(l), now)
	require.Equal(t, links.ErrLink, err)
}

func TestAKeyMustBeLong(t *testing.T) {
	_, err := links.NewSigner([]byte(key[1:]))
	require.ErrorContains(t, err, "fewer than 32 characters")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestASignerShowsNoKey(t *testing.T) {
	s := signer(t, key)
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		require.NotContains(t, fmt.Sprintf(form, s)+fmt.Sprintf(form, *s), "hunter2")
	}
}

func TestIDsDiffer(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		id := links.NewID()
		require.GreaterOrEqual(t, len(id), 26, "of 32 letters each: 128 bits")
		require.False(t, seen[id])
		seen[id] = true
	}
}

func TestAMarkIsForOneTextPurposeAndLink(t *testing.T) {
	s := signer(t, key)
	mark := s.Mark(ana(), "form", "text")
	require.True(t, s.VerifyMark(ana(), "form", "text", mark))
	other := ana()
	other.ID = "ID2"
	later := ana()
	later.Expires = later.Expires.Add(time.Second)
	require.False(t, s.VerifyMark(other, "form", "text", mark))
	require.False(t, s.VerifyMark(later, "form", "text", mark))
	require.False(t, s.VerifyMark(ana(), "flash", "text", mark))
	require.False(t, s.VerifyMark(ana(), "for", "mtext", mark), "the border between the two counts")
	require.False(t, s.VerifyMark(ana(), "form", "texts", mark))
	require.False(t, s.VerifyMark(ana(), "form", "text", ""))
	require.False(t, signer(t, key+"x").VerifyMark(ana(), "form", "text", mark))
	require.NotContains(t, s.Token(ana()), mark, "a mark is no part of a token, nor the other way round")
}

func FuzzRead(f *testing.F) {
	s := signer(f, key)
	good := s.Token(ana())
	for _, seed := range []string{"", good, good[1:], good + "=", strings.Repeat("A", 3000), "AQ", "…",
		s.Token(links.Link{})} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		l, err := s.Read(token, now)
		if token == good {
			require.NoError(t, err)
			return
		}
		require.Equal(t, links.ErrLink, err)
		require.Zero(t, l)
	})
}

// FuzzDecode fuzzes what follows a good signature: only what Encode wrote is read.
func FuzzDecode(f *testing.F) {
	f.Add(links.Encode(ana()))
	f.Add(links.Encode(links.Link{Expires: time.Unix(-1, 0)}))
	f.Add([]byte{1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, said []byte) {
		l, ok := links.Decode(said)
		if !ok {
			return
		}
		again, ok := links.Decode(links.Encode(l))
		require.True(t, ok)
		require.Equal(t, l, again)
	})
}
