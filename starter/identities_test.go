package main

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/messages"
)

// somePeople are a page of people, and where the next begins.
func somePeople(messages.ReportInput) (messages.ReportAnswer, error) {
	return messages.ReportAnswer{
		States: []messages.PeopleCount{{Of: "provision staff", State: "linked", Count: 7}},
		People: []messages.PersonState{
			{Identity: "hr:1", Provision: "staff", Address: "ana@acme.example", State: "linked", Account: "712020:a", Record: "r1"},
			{Identity: "hr:=2", Provision: "staff", State: "duplicate", Detail: "a\u202eb, c"},
			{Provision: "staff", State: "orphaned", Record: "r9"},
		},
		Next: "n",
	}, nil
}

func TestIdentitiesListsPeople(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		asked messages.ReportInput
		want  []string
		not   string
	}{
		"text": {
			[]string{"acme", "--limit", "3"}, messages.ReportInput{Limit: 3},
			[]string{"provision staff: 7 linked\n", "hr:1         ana@acme.example  linked     712020:a  r1      staff",
				"no identity", "a⟨U+202E⟩b, c", "more: --after n"}, "identity,",
		},
		"csv": {
			[]string{"acme", "--limit", "3", "--format", "csv", "--state", "linked", "--source", "hr", "--provision", "staff",
				"--after", "m"},
			messages.ReportInput{Limit: 3, State: "linked", Source: "hr", Provision: "staff", After: "m"},
			[]string{"identity,address,state,account,record,provision,detail,stated\nhr:1,ana@acme.example,linked,712020:a,r1,staff,,\n",
				`"a⟨U+202E⟩b, c"`, "\n,,orphaned,,r9,staff,,\n"}, "provision staff: 7",
		},
	} {
		f := &fakeTemporal{answer: somePeople}
		s, out, _ := f.session()
		command := s.identities()
		command.SetArgs(c.args)
		require.NoError(t, command.ExecuteContext(t.Context()), name)
		c.asked.Org, c.asked.Kind = "acme", messages.ReportIdentities
		require.Equal(t, []messages.ReportInput{c.asked}, f.asked, name)
		for _, want := range c.want {
			require.Contains(t, out.String(), want, name)
		}
		require.NotContains(t, out.String(), c.not, name)
	}
	s, _, _ := (&fakeTemporal{}).session()
	command := s.identities()
	command.SetArgs([]string{"--format", "html"})
	command.SetOut(io.Discard)
	command.SetErr(io.Discard)
	require.ErrorContains(t, command.ExecuteContext(t.Context()), `--format is csv, or left out, not "html"`)
}

func TestPrintExplanationTellsWhatSourcesSay(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	x := messages.Explanation{
		Person: access.Person{ID: "712020:a", Email: "ana@acme.example"},
		Facts:  []messages.Fact{{Name: "managed", Value: "true"}},
		Identities: []messages.ExplainedIdentity{{Identity: "hr:1", State: "present", Since: at, Account: "712020:a",
			Linked: at, LinkedBy: "address ana@acme.example",
			Attributes: []messages.Fact{{Name: "title = title", Value: "Lead"}, {Name: "department = dept", Unknown: "no dept"}},
			Groups: []messages.ExplainedGroup{{Group: "hr:crew", Gives: []access.Entitlement{"group:a", "group:b"}},
				{Group: "hr:web", Waits: "web"}}, Others: 3}},
		Records: []messages.ExplainedRecord{{Provision: "staff", State: "linked", Record: "r1", Account: "712020:a",
			Found: "binding", Bound: at, BoundBy: "provision staff", Action: "update",
			Edits:  []access.Edit{{Attribute: "title", From: "Dev", To: "Lead"}, {Attribute: "nickName", To: "an"}},
			HeldBy: []string{"external"}, Notes: []string{"duplicate: x"}}},
	}
	wants := []string{"identity hr:1\n", "present since " + localTime(at), "none", "title = title", "Lead",
		"not known: no dept", "group hr:crew", "gives group:a, group:b",
		"group hr:web", "waits: group web differs from it, see starter conflicts", "3 other groups     give nothing",
		"record of provision staff\n", "r1, found by binding", "by provision staff", `title: "Dev" → "Lead"`, "overwrites",
		`nickName: "" → "an"`, "writes", "external", "duplicate: x"}
	text := printed(t, func(w io.Writer) { printExplanation(w, x) })
	require.Contains(t, text, "712020:a, since "+localTime(at)+", by address ana@acme.example")
	for _, want := range wants {
		if want != "none" {
			require.Contains(t, text, want)
		}
	}
	require.Contains(t, text, "\ntargets\n")

	x.Facts, x.Identities[0].Account = nil, ""
	text = printed(t, func(w io.Writer) { printExplanation(w, x) })
	for _, want := range wants {
		require.Contains(t, text, want)
	}
	require.Contains(t, text, "no account is linked to it")
	require.NotContains(t, text, "\ntargets\n")
}
