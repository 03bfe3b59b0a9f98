package access_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
)

func TestReasonsInWordsAreBounded(t *testing.T) {
	mapping := func(name, source string) access.Reason {
		return access.Reason{Kind: access.ReasonMapping, Name: name, Source: source}
	}
	require.Equal(t, "", access.ReasonsInWords(nil))
	require.Equal(t, "mapping eng (source group a)", access.ReasonsInWords([]access.Reason{mapping("eng", "a")}))
	require.Equal(t, "mapping eng (source group a) and 1 other source group; grant g1",
		access.ReasonsInWords([]access.Reason{mapping("eng", "a"), mapping("eng", "b"),
			{Kind: access.ReasonGrant, Name: "g1"}}))
	var many []access.Reason
	for i := range 400 {
		many = append(many, mapping(fmt.Sprintf("m%d", i%8), fmt.Sprintf("group-%03d", i)))
	}
	require.Equal(t, "mapping m0 (source group group-000) and 49 other source groups; mapping m1 (source group group-001) and 49 other source groups; "+
		"mapping m2 (source group group-002) and 49 other source groups; and 5 more", access.ReasonsInWords(many))
}
