package identities_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
)

// TestADirectoryThatRefusesStopsOnlyItsProvision: with a lapsed subscription, or an expired key, the provision says
// what to do, access goes on, and once the directory answers again so does the provision, by itself.
func TestADirectoryThatRefusesStopsOnlyItsProvision(t *testing.T) {
	t.Parallel()
	o := start(t, crew())
	o.provisioned(nil)
	for _, trouble := range []struct {
		setting         string
		refuses, allows any
		kind, advice    string
		joiner          string
	}{
		{"guardLapsed", true, false, session.ErrForbidden, "subscription to Atlassian Guard", "p00"},
		{"scimKey", "expired", "valid", session.ErrKeyRefused, "make a new one", "p01"},
	} {
		suite.Set(t, o.Stack, map[string]any{trouble.setting: trouble.refuses})
		recruit := hire("after-" + trouble.joiner)
		o.staff["e-"+recruit.name] = recruit
		o.groups["engineers"] = append(o.groups["engineers"], "e-"+trouble.joiner)
		o.export()
		state := o.until(func(s messages.OrgSyncState) bool { return s.Provisions[0].Problem != nil })
		require.Equal(t, trouble.kind, state.Provisions[0].Problem.Kind)
		require.Contains(t, state.Provisions[0].Problem.Message, trouble.advice)
		out, err := o.Starter(t.Context(), "status", org)
		require.NoError(t, err)
		require.Contains(t, out, trouble.advice)

		o.eventually(func() error { return has(o.members(tools), trouble.joiner) })
		state, err = o.Status(t.Context(), org)
		require.NoError(t, err)
		require.Nil(t, state.Problem)
		require.NotContains(t, o.records(), recruit.email)

		suite.Set(t, o.Stack, map[string]any{trouble.setting: trouble.allows})
		o.personAt(recruit.email, linked)
		o.until(provisionedAll)
	}
}

func has(names []string, name string) error {
	for _, one := range names {
		if one == name {
			return nil
		}
	}
	return errors.New(name + " is missing")
}
