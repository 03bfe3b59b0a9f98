package kit

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSender(t *testing.T) {
	for body, want := range map[string]string{
		`{"by":"ana@acme.example"}`:                                         "ana@acme.example",
		`{"person":{"by":"x"},"requestedBy":"bo"}`:                          "bo",
		`{"workflow":"grant:acme:x","note":7}`:                              "grant:acme:x",
		`{"by":"ana","person":"` + strings.Repeat("x", 2*maxScanned) + `"}`: "ana",
		`{"by":"ana"`:    "ana",
		`["by","ana"]`:   "",
		`{"by":["ana"]}`: "",
		`by: ana`:        "",
		``:               "",
	} {
		require.Equal(t, want, sender([]byte(body)), body[:min(len(body), 60)])
	}
}
