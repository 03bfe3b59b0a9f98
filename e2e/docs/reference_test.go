package docs_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/plan"
	"github.com/castellan-io/castellan/policy"
)

func TestEverySettingIsListedWithItsDefault(t *testing.T) {
	text := string(read(t, "docs/operations.md"))
	for title, variables := range map[string]func(func(config.Variable) bool){
		"Worker": config.Variables[config.Worker](), "Starter": config.Variables[config.Starter](),
	} {
		_, section, found := strings.Cut(text, "\n### "+title+"\n")
		require.True(t, found, title)
		section, _, _ = strings.Cut(section, "\n### ")
		for v := range variables {
			value := " "
			if v.Default != "" {
				value = " `" + v.Default + "` "
			}
			require.True(t, strings.Contains(section, "| `"+v.Name+"` |"+value+"|"), "docs/operations.md has no row for %s with its default %q", v.Name, v.Default)
		}
	}
	known := map[string]bool{"CASTELLAN_": true, "CASTELLAN_KEY_": true, "CASTELLAN_KEY_ACME": true}
	for _, variables := range []func(func(config.Variable) bool){config.Variables[config.Worker](), config.Variables[config.Starter]()} {
		for v := range variables {
			known[v.Name] = true
		}
	}
	for _, file := range documents(t) {
		for _, name := range regexp.MustCompile(`\bCASTELLAN_[A-Z_]*`).FindAllString(string(read(t, file)), -1) {
			require.True(t, known[name], "%s: nobody reads %s", file, name)
		}
	}
}

// TestEveryPolicyKeyIsListed goes through the schema: each key has a row in its section, with its default.
func TestEveryPolicyKeyIsListed(t *testing.T) {
	type schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
		Default    any                        `json:"default"`
	}
	var whole struct {
		schema
		Defs map[string]schema `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(policy.Schema(), &whole))
	text := string(read(t, "docs/policy.md"))
	rows := 0
	var walk func(section, prefix string, s schema)
	walk = func(section, prefix string, s schema) {
		for key, raw := range s.Properties {
			var child schema
			require.NoError(t, json.Unmarshal(raw, &child), key)
			if section == "guard" && child.Properties != nil {
				walk(section, key+".", child)
				continue
			}
			row := regexp.MustCompile("(?m)^\\|[^|]*`" + regexp.QuoteMeta(prefix+key) + "`[^|]*\\|[^|]*\\|([^|]*)\\|").FindStringSubmatch(chapter(t, text, section))
			require.NotNil(t, row, "%s: no row for %s%s", section, prefix, key)
			if child.Default != nil {
				require.Contains(t, row[1], fmt.Sprint(child.Default), "%s.%s%s", section, prefix, key)
			}
			rows++
		}
	}
	walk("", "", whole.schema)
	for _, section := range []string{"organization", "guard", "sync"} {
		var s schema
		require.NoError(t, json.Unmarshal(whole.Properties[section], &s))
		walk(section, "", s)
	}
	walk("mappings", "", whole.Defs["mapping"])
	walk("protected", "", whole.Defs["protected"])
	walk("grants", "", whole.Defs["grant"])
	walk("rules", "", whole.Defs["rule"])
	walk("reviews", "", whole.Defs["review"])
	require.Greater(t, rows, 40)
}

func chapter(t *testing.T, text, title string) string {
	t.Helper()
	if title == "" {
		return text
	}
	_, section, found := strings.Cut(text, "\n## "+title+"\n")
	require.True(t, found, title)
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

func TestRulesFindingsAndStatesAreExplained(t *testing.T) {
	text := string(read(t, "docs/policy.md"))
	for _, rule := range []string{
		plan.RuleAdopt, plan.RuleRunRemovals, plan.RuleRunShare, plan.RuleTargetRemovals, plan.RuleTargetShare, plan.RuleLastAccess,
		plan.RuleWindow, plan.RuleSourceSuspect, plan.RuleDefaultMoved, plan.RuleRuleNew, plan.RuleFlapping,
	} {
		require.True(t, strings.Contains(chapter(t, text, "guard"), "`"+rule+"`"), "docs/policy.md does not explain the rule %s", rule)
	}
	findings := regexp.MustCompile(`\bfind\("([a-z-]+)"|Rule: "([a-z-]+)"`)
	seen := 0
	for _, folder := range []string{"policy", "activities"} {
		files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range findings.FindAllStringSubmatch(string(read(t, folder+"/"+filepath.Base(file))), -1) {
				require.True(t, strings.Contains(text, "| `"+m[1]+m[2]+"` |"), "%s: docs/policy.md has no row for the finding %s", file, m[1]+m[2])
				seen++
			}
		}
	}
	require.Greater(t, seen, 8)

	states := chapter(t, string(read(t, "docs/operations.md")), "States")
	for _, state := range []string{
		messages.StateStarting, messages.StateOK, messages.StateVerifying, messages.StateApplying, messages.StateHeld, messages.StatePaused, messages.StateProblem,
	} {
		require.Contains(t, states, "| `"+state+"` |")
	}
	states = chapter(t, string(read(t, "docs/operations.md")), "Grants")
	for _, state := range []string{
		messages.GrantWaiting, messages.GrantScheduled, messages.GrantGiving, messages.GrantActive, messages.GrantTaking, messages.GrantBlocked, messages.GrantOver,
	} {
		require.Contains(t, states, "| `"+state+"` |")
	}
	code := string(read(t, "activities/errors.go"))
	files, err := filepath.Glob(filepath.Join(root, "workflows", "*.go"))
	require.NoError(t, err)
	for _, file := range files {
		code += string(read(t, "workflows/"+filepath.Base(file)))
	}
	kinds := regexp.MustCompile("(?m)^\\| `([A-Za-z]+)` \\|").FindAllStringSubmatch(chapter(t, string(read(t, "docs/operations.md")), "Problems"), -1)
	require.NotEmpty(t, kinds)
	for _, kind := range kinds {
		require.True(t, strings.Contains(code, `"`+kind[1]+`"`), "no error is of kind %s", kind[1])
	}
}

// TestLinks: what the documents link to in this repository is there, headings too.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	seen := 0
	for _, file := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(string(read(t, file)), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			seen++
			path, anchor, _ := strings.Cut(m[1], "#")
			target := file
			if path != "" {
				target = filepath.Join(filepath.Dir(file), path)
			}
			_, err := os.Stat(filepath.Join(root, target))
			require.NoError(t, err, "%s links to %s", file, m[1])
			if anchor != "" {
				require.Contains(t, anchors(string(read(t, target))), anchor, "%s links to %s", file, m[1])
			}
		}
	}
	require.Greater(t, seen, 20)
}

// anchors are the headings of a document as links name them.
func anchors(text string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(name, " ", "-"))
	}
	return all
}

// TestTheLayoutTableIsThatOfTheTest: architecture.md has a row for each folder that e2e/layout rules.
func TestTheLayoutTableIsThatOfTheTest(t *testing.T) {
	text := chapter(t, string(read(t, "docs/architecture.md")), "Layout")
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	for _, entry := range entries {
		code, err := filepath.Glob(filepath.Join(root, entry.Name(), "*.go"))
		require.NoError(t, err)
		if len(code) > 0 {
			require.True(t, strings.Contains(text, "| `"+entry.Name()+"/` |"), "docs/architecture.md has no row for %s", entry.Name())
		}
	}
}
