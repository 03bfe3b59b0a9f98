package textfile_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/unicode"

	"github.com/castellan-io/castellan/textfile"
)

// saved returns a text in the encodings in which programs save it.
func saved(t testing.TB, text string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{"UTF-8": []byte(text), "UTF-8 with a mark": []byte("\ufeff" + text),
		"UTF-8 with two marks": []byte("\ufeff\ufeff" + text)}
	for name, order := range map[string]unicode.Endianness{"UTF-16LE": unicode.LittleEndian,
		"UTF-16BE": unicode.BigEndian} {
		data, err := unicode.UTF16(order, unicode.UseBOM).NewEncoder().Bytes([]byte(text))
		require.NoError(t, err)
		all[name] = data
	}
	return all
}

func TestDecodeTakesWhatProgramsSave(t *testing.T) {
	for _, end := range []string{"\n", "\r\n", "\r"} {
		for encoding, data := range saved(t, "grün;1"+end+"blau 🎈;2"+end) {
			got, err := textfile.Decode(data)
			require.NoError(t, err, "%s, %q", encoding, end)
			require.Equal(t, "grün;1\nblau 🎈;2\n", string(got), "%s, %q", encoding, end)
		}
	}
	for encoding, data := range saved(t, "") {
		got, err := textfile.Decode(data)
		require.NoError(t, err, encoding)
		require.Empty(t, got, encoding)
	}
}

func TestDecodeRefusesOtherEncodings(t *testing.T) {
	for name, data := range map[string]string{
		"Latin-1": "gr\xfcn", "UTF-16 without a mark": "a\x00b\x00", "UTF-32": "\xff\xfe\x00\x00a\x00\x00\x00",
		"half a character": "\xff\xfea",
	} {
		_, err := textfile.Decode([]byte(data))
		require.Error(t, err, name)
	}
}

func TestReaderReadsWhatDecodeReturns(t *testing.T) {
	long := strings.Repeat("grün;blau 🎈\r\n", 5000) + "\r\r\n\n\r"
	for encoding, data := range saved(t, long) {
		want, err := textfile.Decode(data)
		require.NoError(t, err, encoding)
		for name, from := range map[string]io.Reader{
			"whole":    bytes.NewReader(data),
			"by bytes": iotest.OneByteReader(bytes.NewReader(data)),
			"at once":  iotest.DataErrReader(bytes.NewReader(data)),
		} {
			got, err := io.ReadAll(textfile.NewReader(from))
			require.NoError(t, err, "%s, %s", encoding, name)
			require.Equal(t, string(want), string(got), "%s, %s", encoding, name)
		}
	}
	broken := io.MultiReader(strings.NewReader("a"), iotest.ErrReader(io.ErrClosedPipe))
	_, err := io.ReadAll(textfile.NewReader(broken))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

func FuzzReader(f *testing.F) {
	for _, data := range saved(f, "a\r\nb\rc\n🎈") {
		f.Add(data)
	}
	f.Add([]byte("\xff\xfea"))
	f.Add([]byte("\xfe\xff\xd8\x00\x00a\xff\xfe"))
	f.Add([]byte("a\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		want, wanted := textfile.Decode(data)
		got, err := io.ReadAll(textfile.NewReader(iotest.HalfReader(bytes.NewReader(data))))
		if wanted != nil { // if there are two reasons, the reader meets the first
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	})
}

func FuzzDecode(f *testing.F) {
	for _, data := range saved(f, "a\r\nb\rc\n") {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := textfile.Decode(data)
		if err != nil {
			return
		}
		require.True(t, utf8.Valid(text))
		require.NotContains(t, string(text), "\r")
		again, err := textfile.Decode(text)
		if err == nil && len(text) > 2 && string(text[:3]) != "\ufeff" {
			require.Equal(t, string(text), string(again))
		}
	})
}
