package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUsageErrors checks that mistyped commands are reported without connecting to Temporal.
func TestUsageErrors(t *testing.T) {
	noTemporal(t)
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"undo"}, []string{"starter undo needs RUN\n", "usage: starter undo RUN [flags]",
			"see `starter undo --help`"}},
		{[]string{"grant", "ana@acme.example"},
			[]string{"starter grant needs TARGET\n", "usage: starter grant PERSON TARGET"}},
		{[]string{"why"}, []string{"starter why needs ORG and PERSON\n"}},
		{[]string{"status", "acme", "globex"},
			[]string{`starter status takes at most 1 argument; "globex" is one too many`}},
		{[]string{"apply"}, []string{"starter apply needs FILE\n"}},
		{[]string{"restore", "acme", ""}, []string{"starter restore: argument 2 is empty; is a variable unset?"}},
		{[]string{"apply", "none.yaml"},
			[]string{"none.yaml: no such file or directory: give the path of a policy file"}},
		{[]string{"plan"}, []string{"name a policy file, or --held", "usage: starter plan FILE | plan --held [ORG]"}},
		{[]string{"plan", "acme"}, []string{"plan takes a policy file, and there is none named acme",
			"starter plan --held acme", "starter runs acme"}},
		{[]string{"review", "delegate", "quarterly"},
			[]string{"starter review delegate needs --to\n", "usage: starter review delegate REVIEW --to WHO [ITEM…]"}},
		{[]string{"review", "comment", "quarterly", "3"}, []string{"starter review comment needs TEXT\n"}},
		{[]string{"rules", "test", "acme.yaml"}, []string{"starter rules test needs --cases\n"}},
		{[]string{"rules", "tset"}, []string{`starter rules has no command "tset"; did you mean test?`}},
		{[]string{"stauts", "acme"}, []string{`starter has no command "stauts"; did you mean status?`}},
		{[]string{"frobnicate"}, []string{`starter has no command "frobnicate"; starter --help lists them`}},
		{[]string{"grants", "--persn", "ana@acme.example"},
			[]string{"starter grants has no flag --persn; did you mean --person?", "usage: starter grants [ORG]"}},
		{[]string{"grants", "-p", "ana@acme.example"}, []string{"starter grants has no flag -p"}},
		{[]string{"grants", "--limit", "many"}, []string{`--limit takes a number, not "many"`}},
		{[]string{"grants", "--hours", "--person", "ana@acme.example"}, []string{"leave --person out"}},
		{[]string{"grant", "ana@acme.example", "role:org-admin", "--for", "soon"},
			[]string{"--for: ", "soon", "usage: starter grant PERSON TARGET"}},
		{[]string{"undo", "r1", "--reason"}, []string{"--reason needs a value: why, for the ledger"}},
	} {
		_, err := runProgram(c.args...)
		for _, want := range c.want {
			require.ErrorContains(t, err, want, c.args)
		}
		for _, raw := range []string{"arg(s)", "unknown flag", "required flag", "invalid argument", "reach Temporal"} {
			require.NotContains(t, err.Error(), raw, c.args)
		}
	}
}

func TestStarterAloneShowsItsHelp(t *testing.T) {
	noTemporal(t)
	for _, args := range [][]string{{}, {"rules"}, {"--help"}} {
		out, err := runProgram(args...)
		require.NoError(t, err)
		require.Contains(t, out, "Available Commands")
	}
}
