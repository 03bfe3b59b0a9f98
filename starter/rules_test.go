package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const rulesPolicy = `
version: 1
organization: {name: acme, id: a1, key: "env:A"}
mappings: [{name: sales, from: [sales], to: ["group:crm"]}]
rules: [{name: outside, owner: o@acme.example, when: external, deny: ["group:crm"]}]
`

const rulesCases = `
version: 1
now: "2026-12-01T09:00:00Z"
domains: [acme.example]
cases:
- name: one of us
  person: {email: a@acme.example, groups: [sales]}
  expect: {holds: ["group:crm"]}
- name: a partner
  person: {email: p@partner.example, groups: [sales]}
  expect: {%}
`

// files writes each text to a file, and returns the paths.
func files(t *testing.T, texts ...string) []string {
	var paths []string
	for i, text := range texts {
		paths = append(paths, filepath.Join(t.TempDir(), []string{"policy.yaml", "cases.yaml"}[i]))
		require.NoError(t, os.WriteFile(paths[i], []byte(text), 0o600))
	}
	return paths
}

func withExpectation(text string) string {
	return string(bytes.Replace([]byte(rulesCases), []byte("%"), []byte(text), 1))
}

func TestRulesTestSaysWhichCasesAreNotAsExpected(t *testing.T) {
	for name, tt := range map[string]struct {
		policy, cases string
		status        int
		out, err      string
	}{
		"all as expected": {rulesPolicy, withExpectation(`denies: ["group:crm"]`), exitOK,
			"2 cases: 2 as expected, 0 not\n", ""},
		"one not": {rulesPolicy, withExpectation(`holds: ["group:crm"], rules: {outside: no}`), exitMismatch,
			"CASES:9: a partner: expected group:crm to be held; mapping sales (source group sales) gives it; rule outside denies it\n" +
				"    expected rule outside to say no; it says holds\n2 cases: 1 as expected, 1 not\n",
			"does not decide as its cases expect"},
		"a broken table": {rulesPolicy, withExpectation(`hold: []`), exitUnreadable, "",
			"the cases are not accepted:\nCASES:11:12: cases[1].expect.hold: unknown key"},
		"a broken policy": {"version: 1\nmapings: []\n", withExpectation(`holds: []`), exitUnreadable, "",
			"the policy is not accepted:\nPOLICY:1:1: organization is missing"},
		"an unknown policy": {"", "", exitUnreadable, "", "the file is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			paths := files(t, tt.policy, tt.cases)
			named := func(text string) string {
				return string(bytes.ReplaceAll(bytes.ReplaceAll([]byte(text), []byte("CASES"), []byte(paths[1])),
					[]byte("POLICY"), []byte(paths[0])))
			}
			var out bytes.Buffer
			status, err := (&session{out: &out}).runCases(paths[0], paths[1])
			require.Equal(t, tt.status, status)
			require.Equal(t, named(tt.out), out.String())
			if tt.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, named(tt.err))
		})
	}
	status, err := (&session{}).runCases(files(t, rulesPolicy)[0], filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Equal(t, exitUnreadable, status)
}

func TestRulesTestReachesNobody(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	paths := files(t, rulesPolicy, withExpectation(`denies: ["group:crm"], presence: suspended`))
	run := func(args ...string) (string, error) {
		root := command()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&out)
		root.SetArgs(args)
		err := root.Execute()
		return out.String(), err
	}
	_, err := run("rules", "test", paths[0])
	require.ErrorContains(t, err, "starter rules test needs --cases")
	_, err = run("rules", "test", paths[0], "--cases", paths[1])
	require.ErrorContains(t, err, "does not decide as its cases expect")
}

func TestRulesTestAnswersInJSON(t *testing.T) {
	paths := files(t, rulesPolicy, withExpectation(`presence: suspended`))
	var out bytes.Buffer
	status, err := (&session{out: &out, json: true}).runCases(paths[0], paths[1])
	require.Error(t, err)
	require.Equal(t, exitMismatch, status)
	var answer map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &answer))
	require.Equal(t, map[string]any{"cases": 2.0, "wrong": 1.0, "results": []any{
		map[string]any{"name": "one of us", "line": 6.0, "ok": true},
		map[string]any{"name": "a partner", "line": 9.0, "ok": false,
			"wrong": []any{"expected presence suspended, came untouched; no rule and no grant speaks of presence"}},
	}}, answer)
}

func TestRulesTestOfTheExample(t *testing.T) {
	var out bytes.Buffer
	status, err := (&session{out: &out}).runCases("../examples/rules.yaml", "../examples/cases/rules.yaml")
	require.NoError(t, err, out.String())
	require.Equal(t, exitOK, status)
}
