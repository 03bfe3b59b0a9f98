package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/messages"
)

func TestLinksListsABatch(t *testing.T) {
	batch := func(messages.ReportInput) (messages.ReportAnswer, error) {
		return messages.ReportAnswer{
			States: []messages.PeopleCount{{Of: "batch pilot", State: "linked", Count: 1}},
			Links: []messages.LinkPerson{
				{Identity: "hr:1", Address: "ana@acme.example", Account: "712020:a", Record: "r1", Wave: 2, Outcome: "linked",
					Before: messages.LinkBefore{Names: []string{"jira-users"}, Roles: []string{"role:org-admin"},
						Overwrites: []string{"title: Engineer → Lead"}, Locks: []string{"name"}}},
				{Identity: "hr:2", Outcome: "left-out", Detail: "=a\tb\u202e"},
			},
			Next: "n",
		}, nil
	}
	for name, c := range map[string]struct {
		args []string
		want []string
		not  string
	}{
		"text": {nil, []string{
			"batch pilot: 1 linked\n",
			"IDENTITY  ADDRESS           ACCOUNT   RECORD  WAVE  OUTCOME   KEPT                        OVERWRITTEN             " +
				"LOCKED AFTERWARDS  DETAIL\n" +
				"hr:1      ana@acme.example  712020:a  r1      2     linked    jira-users, role:org-admin  title: Engineer → Lead  " +
				"name               \n" +
				"hr:2                                                left-out", "b⟨U+202E⟩", "more: --after n",
		}, "\tb"},
		"csv": {[]string{"--format", "csv"}, []string{
			"identity,address,account,record,wave,outcome,kept,overwritten,locked afterwards,detail\n" +
				"hr:1,ana@acme.example,712020:a,r1,2,linked,\"jira-users, role:org-admin\",title: Engineer → Lead,name,\n" +
				"hr:2,,,,,left-out,,,,'=a",
		}, "batch pilot"},
	} {
		f := &fakeTemporal{answer: batch}
		s, out, _ := f.session()
		command := s.links()
		command.SetArgs(append([]string{"acme", "pilot", "--state", "linked", "--limit", "2"}, c.args...))
		require.NoError(t, command.ExecuteContext(t.Context()), name)
		require.Equal(t, []messages.ReportInput{
			{Org: "acme", Kind: messages.ReportLinks, ID: "pilot", State: "linked", Limit: 2},
		}, f.asked, name)
		for _, want := range c.want {
			require.Contains(t, out.String(), want, name)
		}
		require.NotContains(t, out.String(), c.not, name)
	}
	s, _, _ := (&fakeTemporal{}).session()
	command := s.links()
	command.SetArgs([]string{"pilot", "--format", "html"})
	command.SetOut(io.Discard)
	command.SetErr(io.Discard)
	require.ErrorContains(t, command.ExecuteContext(t.Context()), `--format is csv, or left out, not "html"`)
}
