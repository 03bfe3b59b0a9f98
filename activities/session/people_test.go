package session

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// What the directory has as an address and is none is not carried to where messages are bounded.
func TestPeopleHaveAddressesThatMessagesTake(t *testing.T) {
	long := strings.Repeat("x", messages.MostName-len("@acme.example")) + "@acme.example"
	s := &Session{Policy: &policy.Policy{}}
	read, err := s.People(t.Context(), []organization.User{
		{AccountID: "a", Email: "a@acme.example", GroupIDs: []string{}},
		{AccountID: "b", Email: long, GroupIDs: []string{}},
		{AccountID: "c", Email: "x" + long, GroupIDs: []string{}},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"a@acme.example", long, ""}, []string{read[0].Email, read[1].Email, read[2].Email})
}
