package links

import (
	"encoding/binary"
	"time"
)

// version is the first byte of every token, so that the encoding can change.
const version = 1

// encode writes a link as its version, its end in seconds, and its texts, each after its length: the encodings of two
// links differ whatever their texts are.
func encode(l Link) []byte {
	said := binary.AppendVarint([]byte{version}, l.Expires.Unix())
	for _, text := range []string{l.ID, l.Org, l.Review, l.Reviewer} {
		said = appendText(said, text)
	}
	return said
}

func appendText(said []byte, text string) []byte {
	return append(binary.AppendUvarint(said, uint64(len(text))), text...)
}

// decode reads what encode wrote, and nothing else.
func decode(said []byte) (l Link, ok bool) {
	if len(said) == 0 || said[0] != version {
		return Link{}, false
	}
	seconds, n := binary.Varint(said[1:])
	if n <= 0 {
		return Link{}, false
	}
	l.Expires, said = time.Unix(seconds, 0).UTC(), said[1+n:]
	for _, text := range []*string{&l.ID, &l.Org, &l.Review, &l.Reviewer} {
		length, n := binary.Uvarint(said)
		if n <= 0 || length > uint64(len(said)-n) {
			return Link{}, false
		}
		*text, said = string(said[n:n+int(length)]), said[n+int(length):]
	}
	return l, len(said) == 0
}
