package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/policy/cases"
)

func (s *session) rules() *cobra.Command {
	c := &cobra.Command{
		Use: "rules", Short: "Work on a policy's rules without Temporal or a key",
		PersistentPreRun:  func(*cobra.Command, []string) {}, // instead of the root's, which connect to Temporal
		PersistentPostRun: func(*cobra.Command, []string) {},
		Args:              subcommandRequired, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		DisableFlagsInUseLine: true, SuggestionsMinimumDistance: 2,
	}
	c.AddCommand(s.rulesTest())
	return c
}

// The exit statuses of rules test: a pipeline can tell a wrong policy from an unreadable file.
const (
	exitOK = iota
	exitMismatch
	exitUnreadable
)

func (s *session) rulesTest() *cobra.Command {
	var cases string
	c := &cobra.Command{
		Use:   "test FILE --cases CASES.yaml",
		Short: "Test a policy with a table of made-up people and the decisions expected for them",
		Long: "Reads both files and nothing else: no network, no Temporal, no clock. Rules count as enforced, whatever their mode,\n" +
			"unless a case says as: now. The exit status is 0 if all decisions are as expected, 1 if one is not, 2 if a file cannot\n" +
			"be read.",
		Args: argCount(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			status, err := s.runCases(args[0], cases)
			if status == exitUnreadable {
				display.Fprintln(cmd.ErrOrStderr(), "starter: "+err.Error())
				os.Exit(exitUnreadable)
			}
			return err
		},
	}
	c.Flags().StringVar(&cases, "cases", "", "the table of cases (see examples/cases/rules.yaml)")
	_ = c.MarkFlagRequired("cases")
	return c
}

// casesAnswer is what rules test prints with --json.
type casesAnswer struct {
	Cases   int            `json:"cases"`
	Wrong   int            `json:"wrong"`
	Results []cases.Result `json:"results"`
}

// runCases runs the cases, prints those that are not as expected, and returns the exit status.
func (s *session) runCases(file, casesFile string) (status int, err error) {
	p, _, err := readPolicy(file)
	if err != nil {
		return exitUnreadable, err
	}
	data, err := readFile(casesFile, "a table of cases")
	if err != nil {
		return exitUnreadable, err
	}
	c, err := cases.Read(casesFile, data)
	if err != nil {
		return exitUnreadable, fmt.Errorf("the cases are not accepted:\n%w", err)
	}
	answer := casesAnswer{Cases: len(c.Cases), Results: cases.Try(p, c)}
	for _, r := range answer.Results {
		if !r.OK {
			answer.Wrong++
		}
	}
	if err := s.show(answer, func(w io.Writer) { printCases(w, casesFile, answer) }); err != nil {
		return exitUnreadable, err
	}
	if answer.Wrong > 0 {
		return exitMismatch, errors.New("the policy does not decide as its cases expect")
	}
	return exitOK, nil
}

func printCases(w io.Writer, file string, answer casesAnswer) {
	for _, r := range answer.Results {
		if !r.OK {
			wrong := make([]string, len(r.Wrong))
			for i, line := range r.Wrong {
				wrong[i] = display.Terminal(line)
			}
			display.Fprintf(w, "%s:%d: %s: %s\n", file, r.Line, r.Name, display.Safe(strings.Join(wrong, "\n    ")))
		}
	}
	display.Fprintf(w, "%s: %d as expected, %d not\n", display.Count(answer.Cases, "case", "cases"),
		answer.Cases-answer.Wrong, answer.Wrong)
}
