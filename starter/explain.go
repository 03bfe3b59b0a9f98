package main

import (
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

func (s *session) explain() *cobra.Command {
	var suppose []string
	c := &cobra.Command{
		Use: "explain [ORG] PERSON", Short: "Show the whole decision for one person: facts, mappings, rules, grants, and what would be done",
		Long: "Reads the person from Atlassian and decides as any run would; nothing is written. A person of an identity source is\n" +
			"named by account, or as source:key, for example corp:4711, also before there is an account.\n" +
			"Each --if assumes something about this person alone, for example: --if 'groups+=it-ops' --if 'now+=30d'\n" +
			"--if 'title=Engineer'",
		Args: argCount(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			org, err := s.resolveOrg(cmd.Context(), args[:len(args)-1]...)
			if err != nil {
				return err
			}
			answer, err := s.ask(cmd.Context(),
				messages.ReportInput{Org: org, Kind: messages.ReportExplain, Person: args[len(args)-1], If: suppose})
			if err != nil {
				return err
			}
			return s.show(answer, func(w io.Writer) { printExplanation(w, *answer.Explain) })
		},
	}
	c.Flags().StringArrayVar(&suppose, "if", nil,
		"an assumption, for example groups+=it-ops; may be given several times")
	return c
}

func printExplanation(w io.Writer, x messages.Explanation) {
	display.Fprintf(w, "%s (%s), as decided for %s\n", x.Person.Label(), x.Person.ID, localTime(x.At))
	for _, text := range x.Supposed {
		display.Fprintf(w, "  assumed: %s\n", text)
	}
	if len(x.Facts) == 0 && len(x.Identities) > 0 {
		display.Fprintln(w, "  no account is linked to it, so only its data in the sources is known")
		printIdentities(w, x.Identities)
		printRecords(w, x.Records)
		return
	}
	section(w, "facts", func(t io.Writer) { printFacts(t, x.Facts) })
	for _, group := range []struct {
		title     string
		all       []messages.Statement
		countOnly string // statements with this verdict are counted, not printed
	}{{"mappings", x.Mappings, "no"}, {"rules", x.Rules, ""}, {"grants", x.Grants, ""}, {"reviews", x.Reviews, ""}} {
		if len(group.all) > 0 {
			section(w, group.title, func(t io.Writer) { printStatements(t, group.all, group.countOnly) })
		}
	}
	printIdentities(w, x.Identities)
	printRecords(w, x.Records)
	section(w, "targets", func(t io.Writer) {
		for _, one := range x.Targets {
			display.Fprintf(t, "  %s\t%s\t%s\n", one.Target, heldText(one), effectText(one))
		}
		display.Fprintf(t, "  and %d that are neither given nor held\n", x.Others)
	})
	printOutcome(w, x)
}

// section prints a titled table.
func section(w io.Writer, title string, rows func(t io.Writer)) {
	display.Fprintf(w, "\n%s\n", title)
	t := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	rows(t)
	_ = t.Flush()
}

func printFacts(t io.Writer, facts []messages.Fact) {
	for _, f := range facts {
		value := f.Value
		if f.Unknown != "" {
			value = "not known: " + f.Unknown
		}
		if value != "" {
			display.Fprintf(t, "  %s\t%s\n", f.Name, value)
		}
	}
}

// printStatements prints the statements, and counts those with the verdict countOnly.
func printStatements(t io.Writer, statements []messages.Statement, countOnly string) {
	counted := 0
	for _, one := range statements {
		if one.Verdict == countOnly {
			counted++
			continue
		}
		until := ""
		if !one.Until.IsZero() {
			until = "until " + localTime(one.Until)
		}
		display.Fprintf(t, "  %s\t%s\t%s\t%s\n", one.Name, one.Verdict, one.Why, until)
	}
	if counted > 0 {
		display.Fprintf(t, "  and %d that do not concern the person\n", counted)
	}
}

// printOutcome prints what would be done, and what would prevent it.
func printOutcome(w io.Writer, x messages.Explanation) {
	display.Fprintln(w, "\nwhat would be done")
	if len(x.Changes) == 0 {
		display.Fprintln(w, "  nothing")
	}
	for _, c := range x.Changes {
		display.Fprintf(w, "  %s: %s\n", c.Label(), reasons(c.Reasons))
		if len(c.HeldBy) > 0 {
			display.Fprintf(w, "    the guard would hold it: %s\n", strings.Join(c.HeldBy, ", "))
		}
		if c.Answer != "" {
			display.Fprintf(w, "    a floor would refuse it: %s\n", c.Answer)
		}
	}
	for _, c := range x.Rejected {
		display.Fprintf(w, "  not: %s, because a person rejected it\n", c.Label())
	}
	for _, line := range x.Guard {
		display.Fprintf(w, "  guard: %s\n", line)
	}
}

func heldText(one messages.ExplainedTarget) string {
	switch {
	case one.Held == "yes" && one.Target.Presence():
		return "held"
	case one.Held == "yes" && one.Owned:
		return "held since " + localTime(one.Since) + ", made or adopted by Castellan"
	case one.Held == "yes":
		return "held, not made by Castellan"
	case one.Held == "unknown":
		return "not known whether held"
	}
	return "not held"
}

func effectText(one messages.ExplainedTarget) string {
	var words []string
	say := func(what string, all []access.Reason) {
		if len(all) > 0 {
			words = append(words, what+" "+reasons(all))
		}
	}
	say("given by", one.Reasons)
	say("denied by", one.Denied)
	say("left as it is, since these cannot be decided now:", one.Unsure)
	if len(words) == 0 {
		return "nothing gives it"
	}
	return strings.Join(words, "; ")
}
