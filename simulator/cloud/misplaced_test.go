package cloud_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMisplacedIDsAreCounted wherever they stand: in the path, the query or the body. The right kind is not.
func TestMisplacedIDsAreCounted(t *testing.T) {
	s := start(t)
	account, record := s.account("bo"), s.scimUser("bo")
	s.get("S/Users/" + record)
	s.add("reviewers", "bo")
	s.get("D/users/" + account)
	require.Empty(t, s.c.Stats().Misplaced)

	s.get("S/Users/" + account)
	s.get("S/Users?filter=" + url.QueryEscape(`externalId eq "`+account+`"`))
	s.post("S/Users", map[string]any{"userName": "new@example.com", "externalId": account})
	s.get("D/users/" + record)
	s.post("D/users/search", map[string]any{"accountIds": []string{record}})
	require.Equal(t, map[string]int{"scim.users.get": 1, "scim.users.list": 1, "scim.users.create": 1, "users.get": 1,
		"users.search": 1}, s.c.Stats().Misplaced)
}
