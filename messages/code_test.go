package messages_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/messages"
)

func TestCodeHashKnowsACodeHoweverItIsSet(t *testing.T) {
	t.Parallel()
	const sent = "ABCDE-FGHIJ-KLMNO-PQRST-UVWXY-2"
	// As in codes that were stored before.
	require.Equal(t, "f1c8454bb0ba8fc91934bb33dd54bd6b", messages.CodeHash(sent)[:32])
	for _, typed := range []string{
		"abcdefghijklmnopqrstuvwxy2", "ABCDE–FGHIJ—KLMNO‑PQRST−UVWXY-2",
		" ABCDE FGHIJ KLMNO\r\nPQRST\u00a0UVWXY\u200b2\n", "ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹ２",
		"ABCDE.FGH1J.KLMN0.PQRST.UVWXY.2",
	} {
		require.Equal(t, messages.CodeHash(sent), messages.CodeHash(typed), "%q", typed)
	}
	require.NotEqual(t, messages.CodeHash(sent), messages.CodeHash("ABCDE-FGHIJ-KLMNO-PQRST-UVWXY"))
	require.Empty(t, messages.CodeHash(" – \n"))
}
