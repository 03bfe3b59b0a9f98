package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
)

func TestMetricsCountSourcesAndRecords(t *testing.T) {
	ctx, at := t.Context(), time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	store, err := ledger.Open(ctx, "file:"+filepath.Join(t.TempDir(), "ledger.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	p, err := policy.Parse("p", []byte(`
version: 1
organization: {name: acme, id: a1, key: "env:A"}
sources:
  - {name: hr, kind: file, folder: /exports, key: number, groupsFile: groups.csv}
  - {name: late, kind: file, folder: /exports, key: number, groupsFile: groups.csv}
provision:
  - {name: staff, from: [hr], directory: {id: d, key: "env:SCIM"}, attributes: {userName: email, emails: email}}
mappings: [{name: m, from: ["hr:crew"], to: ["group:x"]}]
`))
	require.NoError(t, err)
	_, err = store.SavePolicy(ctx, ledger.PolicyVersion{Org: "acme", Hash: p.Hash(), Body: p.JSON(), OrgID: "a1"})
	require.NoError(t, err)

	read := func(end ledger.End, people ...ledger.Identity) {
		number, err := store.BeginSourceRead(ctx, "acme", "hr", at)
		require.NoError(t, err)
		_, err = store.SaveIdentities(ctx, "acme", "hr", number, people, at)
		require.NoError(t, err)
		require.NoError(t, store.EndSourceRead(ctx, "acme", "hr", number, end, at))
	}
	read(ledger.End{People: 2}, ledger.Identity{Key: "1", Digest: "a"}, ledger.Identity{Key: "2", Digest: "a"})
	read(ledger.End{People: 1, MissingPeople: []string{"2"}, Suspect: "it shrank"})
	require.NoError(t, store.SetPersonStates(ctx, "acme", "staff", "r1", []ledger.ProvisionedState{
		{Source: "hr", Key: "1", State: "linked"}, {Source: "hr", Key: "2", State: "absent"}}))

	measured, err := newMetrics(zap.NewNop())
	require.NoError(t, err)
	now := at.Add(time.Hour)
	measured.ledger.now = func() time.Time { return now }
	scrape := func() string {
		out := httptest.NewRecorder()
		measured.http.ServeHTTP(out, httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
		require.Equal(t, http.StatusOK, out.Code)
		return out.Body.String()
	}
	require.NotContains(t, scrape(), "castellan_", "there is no ledger yet")
	measured.ledger.setLedger(store)
	text := scrape()
	for _, want := range []string{
		`castellan_identities{org="acme",source="hr",state="present"} 1`,
		`castellan_identities{org="acme",source="hr",state="missing"} 1`,
		`castellan_records{org="acme",provision="staff",state="linked"} 1`,
		`castellan_records{org="acme",provision="staff",state="absent"} 1`,
		`castellan_accounts_without_record{org="acme",provision="staff"} 0`,
		`castellan_source_age_seconds{org="acme",source="hr"} 3600`,
		`castellan_source_missing{org="acme",source="hr"} 1`,
		`castellan_source_suspect{org="acme",source="hr"} 1`,
		`castellan_source_failing{org="acme",source="hr"} 0`,
		`castellan_source_failing{org="acme",source="late"} 0`,
	} {
		require.Contains(t, text, want+"\n")
	}
	require.NotContains(t, text, `castellan_source_age_seconds{org="acme",source="late"}`)

	require.NoError(t, store.FailSourceRead(ctx, "acme", "late", 0, "Down", "no route to host", now))
	require.Equal(t, text, scrape(), "it is counted again only after a while")
	now = now.Add(measureEvery)
	require.Contains(t, scrape(), `castellan_source_failing{org="acme",source="late"} 1`)
}
