package access_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
)

func TestNearest(t *testing.T) {
	fields := []string{"person", "target", "duration", "start", "reason", "ticket", "requestedBy", "requestID",
		"breakGlass"}
	for written, want := range map[string]string{
		"by":           "requestedBy",
		"requested_by": "requestedBy",
		"RequestedBy":  "requestedBy",
		"requestedby":  "requestedBy",
		"request":      "requestedBy",
		"id":           "requestID",
		"resaon":       "reason",
		"persn":        "person",
		"durations":    "duration",
		"breakglas":    "breakGlass",
		"force":        "",
		"plan":         "",
		"x":            "",
		"":             "",
	} {
		require.Equal(t, want, access.Nearest(written, fields...), written)
	}
	require.Equal(t, "by", access.Nearest("requestedBy", "plan", "by", "note"))
	require.Empty(t, access.Nearest(strings.Repeat("person", 1000), fields...))
}
