package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/messages"
)

func TestResolveOrgIgnoresOrganizationsWithoutAPolicy(t *testing.T) {
	t.Parallel()
	f := &fakeTemporal{syncs: []messages.OrgSyncState{
		{Org: "evil", State: messages.StateStarting, Problem: &messages.Problem{Kind: "PolicyError"}},
		{Org: "old", State: messages.StateRetired, Policy: "sha256:1"},
		{Org: "acme", State: messages.StateProblem, Policy: "sha256:2"},
	}}
	s, _, _ := f.session()
	org, err := s.resolveOrg(t.Context())
	require.NoError(t, err)
	require.Equal(t, "acme", org)
	f.syncs[1].State = messages.StateOK
	_, err = s.resolveOrg(t.Context())
	require.ErrorContains(t, err, "there are several organizations, name one: [old acme]")
	f.syncs = f.syncs[:1]
	org, err = s.resolveOrg(t.Context())
	require.NoError(t, err)
	require.Equal(t, "evil", org, "where there is no other")
}
