package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Load reads the environment into a [Worker] or a [Starter]. An unset or empty variable takes its default. The error
// names every variable that cannot be used and says what to set it to; it never quotes a value.
func Load[T interface{ rejects(variable string) bool }]() (T, error) {
	var settings T
	refused := make(map[string]bool)
	err := env.Parse(&settings)
	var all env.AggregateError
	if err != nil && !errors.As(err, &all) {
		return settings, fmt.Errorf("read the environment: %w", err)
	}
	for _, e := range all.Errors {
		var parse env.ParseError
		if !errors.As(e, &parse) {
			return settings, fmt.Errorf("read the environment: %w", e)
		}
		field, _ := reflect.TypeFor[T]().FieldByName(parse.Name)
		refused[field.Tag.Get("env")] = true
	}

	var problems []error
	for v := range Variables[T]() {
		if refused[v.Name] || settings.rejects(v.Name) {
			problems = append(problems, fmt.Errorf("%s cannot be used: set it to %s", v.Name, v.Want))
		}
	}
	if len(problems) > 0 {
		var none T
		return none, errors.Join(problems...)
	}
	return settings, nil
}

// Variable is one of Castellan's environment variables.
type Variable struct {
	Name    string
	Default string
	Want    string // what it accepts
}

// Variables yields the variables that T reads, in the order of its fields.
func Variables[T any]() func(yield func(Variable) bool) {
	return func(yield func(Variable) bool) {
		for field := range reflect.TypeFor[T]().Fields() {
			tag := field.Tag
			if !yield(Variable{Name: tag.Get("env"), Default: tag.Get("envDefault"), Want: tag.Get("want")}) {
				return
			}
		}
	}
}

// Unknown returns, sorted, the CASTELLAN_* variables of the environment that no program reads: most often a misspelt
// name, whose intended setting silently keeps its default. Keys that policies refer to (CASTELLAN_KEY_*) do not count.
func Unknown() []string {
	known := make(map[string]bool)
	for v := range Variables[Worker]() {
		known[v.Name] = true
	}
	for v := range Variables[Starter]() {
		known[v.Name] = true
	}
	var unknown []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "CASTELLAN_") && !strings.HasPrefix(name, KeyPrefix) && !known[name] {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}
