package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
)

// usageError returns what is wrong with a command line, with the command's usage.
func usageError(c *cobra.Command, format string, args ...any) error {
	return fmt.Errorf("%s\nusage: %s\nsee `%s --help`", fmt.Sprintf(format, args...), c.UseLine(),
		c.CommandPath())
}

// argCount checks a command's number of arguments and its required flags before connecting to Temporal. atMost is -1
// for any number.
func argCount(atLeast, atMost int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch n := len(args); {
		case n < atLeast:
			return usageError(c, "%s needs %s", c.CommandPath(), strings.Join(requiredArgs(c)[n:atLeast], " and "))
		case atMost == 0 && n > 0:
			return usageError(c, "%s takes no arguments, not even %q", c.CommandPath(), args[0])
		case slices.Contains(args, ""):
			return usageError(c, "%s: argument %d is empty; is a variable unset?", c.CommandPath(), slices.Index(args, "")+1)
		case atMost >= 0 && n > atMost:
			return usageError(c, "%s takes at most %s; %q is one too many", c.CommandPath(),
				display.Count(atMost, "argument", "arguments"), args[atMost])
		}
		var missing []string
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if slices.Contains(f.Annotations[cobra.BashCompOneRequiredFlag], "true") && !f.Changed {
				missing = append(missing, "--"+f.Name)
			}
		})
		if len(missing) > 0 {
			return usageError(c, "%s needs %s", c.CommandPath(), strings.Join(missing, " and "))
		}
		return nil
	}
}

// requiredArgs returns the names of a command's required arguments, from its usage line.
func requiredArgs(c *cobra.Command) []string {
	line, _, _ := strings.Cut(c.Use, " | ")
	var names []string
	flagValue := false
	for _, word := range strings.Fields(line)[1:] {
		isFlag := strings.HasPrefix(word, "-")
		if !isFlag && !flagValue && !strings.HasPrefix(word, "[") {
			names = append(names, word)
		}
		flagValue = isFlag
	}
	return names
}

// subcommandRequired checks that the first argument is a subcommand.
func subcommandRequired(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("%s has no command %q; did you mean %s?", c.CommandPath(), args[0],
			strings.Join(near, " or "))
	}
	return fmt.Errorf("%s has no command %q; %s --help lists them", c.CommandPath(), args[0], c.CommandPath())
}

// flagError returns a better text for pflag's error.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var empty *pflag.ValueRequiredError
	var wrong *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var known []string
		c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near := access.Nearest(unknown.GetSpecifiedName(), known...); near != "" {
			return usageError(c, "%s has no flag --%s; did you mean --%s?", c.CommandPath(),
				unknown.GetSpecifiedName(), near)
		}
		return usageError(c, "%s has no flag --%s", c.CommandPath(), unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return usageError(c, "%s has no flag -%s; flags are written out, with two dashes", c.CommandPath(),
			unknown.GetSpecifiedName())
	case errors.As(err, &empty):
		return usageError(c, "--%s needs a value: %s", empty.GetFlag().Name, empty.GetFlag().Usage)
	case errors.As(err, &wrong) && wrong.GetFlag().Value.Type() == "int":
		return usageError(c, "--%s takes a number, not %q", wrong.GetFlag().Name, wrong.GetValue())
	case errors.As(err, &wrong):
		return usageError(c, "--%s: %v", wrong.GetFlag().Name, wrong.Unwrap())
	}
	return usageError(c, "%v", err)
}
