package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/castellan-io/castellan/access"
)

// misused is the error of a command that was not typed as it is to be: what is wrong, how it is typed, and where more
// is said.
func misused(c *cobra.Command, format string, args ...any) error {
	return fmt.Errorf("%s\nusage: %s\n`%s --help` says more", fmt.Sprintf(format, args...), c.UseLine(),
		c.CommandPath())
}

// takes checks the number of a command's arguments, and that the flags it cannot do without are given, before Temporal
// is reached for. most is -1 where there may be any number.
func takes(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch n := len(args); {
		case n < least:
			return misused(c, "%s needs %s", c.CommandPath(), strings.Join(required(c)[n:least], " and "))
		case most == 0 && n > 0:
			return misused(c, "%s takes no arguments, and %q is one", c.CommandPath(), args[0])
		case most >= 0 && n > most:
			return misused(c, "%s takes at most %s, and %q is one more", c.CommandPath(),
				counted(most, "argument", "arguments"), args[most])
		}
		var missing []string
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if slices.Contains(f.Annotations[cobra.BashCompOneRequiredFlag], "true") && !f.Changed {
				missing = append(missing, "--"+f.Name)
			}
		})
		if len(missing) > 0 {
			return misused(c, "%s needs %s", c.CommandPath(), strings.Join(missing, " and "))
		}
		return nil
	}
}

// required are the names of the arguments that a command cannot do without, as its line of usage has them.
func required(c *cobra.Command) []string {
	line, _, _ := strings.Cut(c.Use, " | ")
	var names []string
	ofFlag := false
	for _, word := range strings.Fields(line)[1:] {
		isFlag := strings.HasPrefix(word, "-")
		if !isFlag && !ofFlag && !strings.HasPrefix(word, "[") {
			names = append(names, word)
		}
		ofFlag = isFlag
	}
	return names
}

// aCommandOfIts checks that what follows a command that does nothing by itself is one of its commands.
func aCommandOfIts(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("%s has no command %q; did you mean %s?", c.CommandPath(), args[0],
			strings.Join(near, " or "))
	}
	return fmt.Errorf("%s has no command %q; %s --help lists them", c.CommandPath(), args[0], c.CommandPath())
}

// flagError says what is wrong with a flag.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var empty *pflag.ValueRequiredError
	var wrong *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var known []string
		c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near := access.Nearest(unknown.GetSpecifiedName(), known...); near != "" {
			return misused(c, "%s has no flag --%s; did you mean --%s?", c.CommandPath(),
				unknown.GetSpecifiedName(), near)
		}
		return misused(c, "%s has no flag --%s", c.CommandPath(), unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return misused(c, "%s has no flag -%s; flags are written out, with two dashes", c.CommandPath(),
			unknown.GetSpecifiedName())
	case errors.As(err, &empty):
		return misused(c, "--%s needs a value: %s", empty.GetFlag().Name, empty.GetFlag().Usage)
	case errors.As(err, &wrong) && wrong.GetFlag().Value.Type() == "int":
		return misused(c, "--%s takes a number, and %q is none", wrong.GetFlag().Name, wrong.GetValue())
	case errors.As(err, &wrong):
		return misused(c, "--%s: %v", wrong.GetFlag().Name, wrong.Unwrap())
	}
	return misused(c, "%v", err)
}
