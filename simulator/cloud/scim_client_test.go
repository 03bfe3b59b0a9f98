package cloud_test

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// fields are the attributes that a client changes, and where a user has them.
func fields(u *scim.User) map[scim.Attribute]*string {
	return map[scim.Attribute]*string{
		scim.UserName: &u.UserName, scim.Email: &u.Email, scim.DisplayName: &u.DisplayName,
		scim.GivenName: &u.GivenName, scim.FamilyName: &u.FamilyName, scim.NickName: &u.NickName, scim.Title: &u.Title,
		scim.Department: &u.Department, scim.Organization: &u.Organization, scim.Timezone: &u.Timezone,
		scim.PreferredLanguage: &u.PreferredLanguage, scim.PhoneNumber: &u.PhoneNumber,
	}
}

// TestPatchUserMakesTheRecordAsWanted: whatever a record is, one call of the client makes it what it should be, and
// leaves alone what it does not name.
func TestPatchUserMakesTheRecordAsWanted(t *testing.T) {
	s := start(t)
	client, err := scim.New(scim.Options{BaseURL: s.url + "/scim/directory/" + s.info.SCIMDirectoryID,
		Key: func(context.Context) (string, error) { return cloud.DefaultSCIMKey, nil }})
	require.NoError(t, err)
	writer := scim.NewWriter(client)
	has, err := writer.CreateUser(t.Context(), scim.User{UserName: "eve@example.com", Email: "eve@example.com", Active: true})
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		s.c.Advance(time.Second)
		want := has
		var edits []scim.Edit
		all := fields(&want)
		for _, attribute := range slices.Sorted(maps.Keys(all)) {
			value := all[attribute]
			to := rapid.SampledFrom([]string{*value, "", "a", "Ü & b"}).Draw(t, string(attribute))
			if attribute == scim.UserName || attribute == scim.Email {
				to = rapid.SampledFrom([]string{"eve@example.com", "eva@example.com"}).Draw(t, string(attribute))
			}
			if to != *value {
				edits = append(edits, scim.Edit{Attribute: attribute, From: *value, To: to})
				*value = to
			}
		}
		if want.Active = rapid.Bool().Draw(t, "active"); want.Active != has.Active {
			to := map[bool]string{true: "true", false: "false"}[want.Active]
			edits = append(edits, scim.Edit{Attribute: scim.Active, To: to})
		}
		if len(edits) == 0 {
			return
		}
		got, err := writer.PatchUser(context.Background(), has.ID, edits)
		require.NoError(t, err)
		require.True(t, got.Modified.After(has.Modified))
		want.Modified = got.Modified
		require.Equal(t, want, got)
		has, err = client.User(context.Background(), has.ID)
		require.NoError(t, err)
		require.Equal(t, want, has)
	})
}
