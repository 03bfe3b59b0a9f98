package docs_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/policy"
)

func TestEverySettingIsListedWithItsDefault(t *testing.T) {
	text := string(read(t, "docs/install.md"))
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
			require.True(t, strings.Contains(section, "| `"+v.Name+"` |"+value+"|"),
				"docs/install.md has no row for %s with its default %q", v.Name, v.Default)
		}
	}
	known := map[string]bool{"CASTELLAN_": true, "CASTELLAN_KEY_": true, "CASTELLAN_KEY_ACME": true,
		"CASTELLAN_KEY_ACME_EU": true, "CASTELLAN_TEMPORAL_CLI": true}
	for _, variables := range []func(func(config.Variable) bool){config.Variables[config.Worker](),
		config.Variables[config.Starter]()} {
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
			row := regexp.MustCompile("(?m)^\\|[^|]*`" + regexp.QuoteMeta(prefix+key) +
				"`[^|]*\\|[^|]*\\|([^|]*)\\|").FindStringSubmatch(chapter(t, text, section))
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
	walk("sources", "", whole.Defs["source"])
	walk("provision", "", whole.Defs["provision"])
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

func TestGuardRulesAreExplained(t *testing.T) {
	guard := chapter(t, string(read(t, "docs/policy.md")), "guard")
	for _, rule := range known(t).guard.all() {
		require.True(t, strings.Contains(guard, "`"+rule+"`"), "docs/policy.md does not explain the rule %s", rule)
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

// TestPathsExist: what CONTRIBUTING.md and architecture.md name as a path or a test is there.
func TestPathsExist(t *testing.T) {
	tests := ""
	for _, file := range goFiles(t) {
		if strings.HasSuffix(file, "_test.go") {
			tests += string(read(t, file))
		}
	}
	seen := 0
	for _, file := range []string{"CONTRIBUTING.md", "docs/architecture.md"} {
		text := string(read(t, file))
		for _, m := range regexp.MustCompile("`(?:\\./)?([a-z0-9_]+/[A-Za-z0-9_./-]*)`").FindAllStringSubmatch(text,
			-1) {
			if _, err := os.Stat(filepath.Join(root, strings.SplitN(m[1], "/", 2)[0])); err != nil {
				continue // a role, or a part of an address
			}
			_, err := os.Stat(filepath.Join(root, m[1]))
			require.NoError(t, err, "%s names %s", file, m[1])
			seen++
		}
		for _, name := range regexp.MustCompile(`-run (Test\w+)`).FindAllStringSubmatch(text, -1) {
			require.Contains(t, tests, "func "+name[1]+"(", "%s names a test that is not there", file)
		}
	}
	require.Greater(t, seen, 10)
}

// goFiles returns the project's own, by their paths in it.
func goFiles(t *testing.T) (all []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && len(entry.Name()) > 2) {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".go") {
			all = append(all, strings.TrimPrefix(path, root+"/"))
		}
		return err
	}))
	return all
}

// anchors returns the headings of a document as links name them.
func anchors(text string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(name, " ", "-"))
	}
	return all
}

// TestLayoutTableMatchesTheTest: architecture.md has a row for each folder that e2e/layout rules.
func TestLayoutTableMatchesTheTest(t *testing.T) {
	text := chapter(t, string(read(t, "docs/architecture.md")), "Layout")
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	for _, entry := range entries {
		code, err := filepath.Glob(filepath.Join(root, entry.Name(), "*.go"))
		require.NoError(t, err)
		if len(code) > 0 {
			require.True(t, strings.Contains(text, "| `"+entry.Name()+"/` |"), "docs/architecture.md has no row for %s",
				entry.Name())
		}
	}
}
