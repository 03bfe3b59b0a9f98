package docs_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
)

// bodies are what ops can send to an organization's loop and to a grant, by name.
var bodies = map[string]any{
	messages.ApplyPolicy:  &messages.PolicyInput{},
	messages.ApprovePlan:  &messages.DecisionInput{},
	messages.RejectPlan:   &messages.DecisionInput{},
	messages.SyncNow:      &messages.SyncNowInput{},
	messages.AcceptSource: &messages.AcceptSourceInput{}, messages.ProvisionNow: &messages.ProvisionNowInput{},
	messages.AcceptConflict: &messages.ConflictInput{}, messages.RejectConflict: &messages.ConflictInput{},
	messages.Pause:   &messages.PauseInput{},
	messages.Resume:  &messages.ResumeInput{},
	messages.Undo:    &messages.UndoInput{},
	messages.Grant:   &messages.GrantInput{},
	messages.Revoke:  &messages.RevokeInput{},
	messages.Approve: &messages.ApprovalInput{},
	messages.Deny:    &messages.ApprovalInput{},
	messages.Extend:  &messages.ExtendInput{},
}

// reviewBodies are what reviewers and ops can send to a review.
var reviewBodies = map[string]any{
	messages.DecideItems:   &messages.DecideInput{},
	messages.DelegateItems: &messages.DelegateInput{},
	messages.CommentItem:   &messages.CommentInput{},
	messages.ReopenItems:   &messages.ReopenInput{},
	messages.Remind:        &messages.RemindInput{},
	messages.RevokeLinks:   &messages.RevokeLinksInput{},
	messages.Extend:        &messages.ExtendReviewInput{},
	messages.CloseReview:   &messages.EndReviewInput{},
	messages.CancelReview:  &messages.EndReviewInput{},
}

func TestMakeTargetsExist(t *testing.T) {
	makefile := string(read(t, "Makefile"))
	seen := 0
	for _, c := range commands(t, "make") {
		require.GreaterOrEqual(t, len(c.words), 2, c.where)
		require.Regexp(t, `(?m)^`+regexp.QuoteMeta(c.words[1])+`:.*## `, makefile, c.where)
		seen++
	}
	require.Greater(t, seen, 5)
}

func TestStarterCommandsExist(t *testing.T) {
	dir, err := stack.Programs(t.Context(), t.TempDir(), "starter")
	require.NoError(t, err)
	printed := map[string]string{} // the documents show each command many times
	help := func(args ...string) string {
		command := strings.Join(args, " ")
		if _, asked := printed[command]; !asked {
			out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "starter"),
				append(args, "--help")...).CombinedOutput()
			require.NoError(t, err, string(out))
			printed[command] = string(out)
		}
		return printed[command]
	}
	known := regexp.MustCompile(`(?m)^  ([a-z-]+) `).FindAllStringSubmatch(help(), -1)
	seen := 0
	for _, c := range commands(t, "starter") {
		require.GreaterOrEqual(t, len(c.words), 2, c.where)
		name := c.words[1]
		require.True(t, slices.ContainsFunc(known, func(m []string) bool { return m[1] == name }),
			"%s: starter has no command %s", c.where, name)
		usage := help(name)
		if strings.Contains(usage, "starter "+name+" [command]") {
			require.GreaterOrEqual(t, len(c.words), 3, c.where)
			require.Regexp(t, `(?m)^  `+regexp.QuoteMeta(c.words[2])+` `, usage, c.where)
			usage = help(name, c.words[2])
		}
		for _, flag := range c.words[2:] {
			if strings.HasPrefix(flag, "--") {
				require.Regexp(t, `(?m)^ +(-[a-z], )?`+regexp.QuoteMeta(flag)+`\b`, usage, c.where)
			}
		}
		seen++
	}
	require.Greater(t, seen, 10)
}

func TestTemporalCommandsSayWhatTheCodeKnows(t *testing.T) {
	seen := 0
	for _, c := range commands(t, "temporal") {
		if len(c.words) < 3 || c.words[1] != "workflow" {
			continue
		}
		seen++
		for _, match := range regexp.MustCompile(`Castellan\w+`).FindAllString(c.flag("--query"), -1) {
			require.Contains(t, messages.Attributes(), match, c.where)
		}
		input := []byte(c.flag("--input"))
		if file := c.flag("--input-file"); file != "" && file != "body.json" {
			input = read(t, file)
		}
		switch verb := strings.Join(c.words[2:min(4, len(c.words))], " "); {
		case strings.HasPrefix(verb, "signal"), verb == "update execute":
			name := c.flag("--name")
			if name == messages.ForceContinueAsNew {
				require.Empty(t, input, c.where)
				continue
			}
			known := bodies
			if strings.HasPrefix(c.flag("--workflow-id"), "access-review:") {
				known = reviewBodies
			}
			requireBody(t, c, input, known[name])
		case strings.HasPrefix(verb, "start"):
			require.Equal(t, messages.QueueWorkflows, c.flag("--task-queue"), c.where)
			requireBody(t, c, input, map[string]any{messages.OrgSync: &messages.OrgSyncInput{},
				messages.AccessReview: &messages.AccessReviewInput{}, messages.Link: &messages.LinkInput{},
				messages.GroupRestore: &messages.RestoreInput{}}[c.flag("--type")])
		case strings.HasPrefix(verb, "execute"):
			require.Equal(t, messages.Report, c.flag("--type"), c.where)
			require.Equal(t, messages.QueueWorkflows, c.flag("--task-queue"), c.where)
			requireBody(t, c, input, &messages.ReportInput{})
		case strings.HasPrefix(verb, "query"):
			require.Equal(t, messages.Status, c.flag("--type"), c.where)
		default:
			require.Regexp(t, `^(list|cancel|show)\b`, verb, c.where)
		}
	}
	require.Greater(t, seen, 20)
}

// TestEveryActionIsShown: there is a row and a command for everything that ops can send.
func TestEveryActionIsShown(t *testing.T) {
	text := string(read(t, "docs/commands.md")) + string(read(t, "docs/grants.md"))
	for name := range bodies {
		require.Regexp(t, "(?m)^\\| (`[a-z-]+`, )*`"+name+"`[,` a-z-]* \\|", text)
		require.Regexp(t, `(?m)^    temporal workflow .*--name `+name+` `, text)
	}
	text = string(read(t, "docs/reviews.md"))
	for name := range reviewBodies {
		require.Contains(t, text, "| `"+name+"` |")
		require.Regexp(t, `(?m)^    temporal workflow .*--workflow-id access-review:.*--name `+name+` `, text)
	}
}

func requireBody(t *testing.T, c command, input []byte, into any) {
	t.Helper()
	require.NotNil(t, into, "%s: there is no such signal or update", c.where)
	decoder := json.NewDecoder(bytes.NewReader(input))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(into), "%s: %s", c.where, input)
}

// command is one that a document shows.
type command struct {
	where string
	words []string
}

// flag returns the value that follows a flag, "" without it.
func (c command) flag(name string) string {
	for i, w := range c.words[:len(c.words)-1] {
		if w == name {
			return c.words[i+1]
		}
	}
	return ""
}

var span = regexp.MustCompile("`([^`\n]+)`")

// commands returns the uses of a program in code blocks and code spans of all documents.
func commands(t *testing.T, program string) (found []command) {
	t.Helper()
	for _, file := range documents(t) {
		for _, line := range strings.Split(string(read(t, file)), "\n") {
			codes := []string{}
			if strings.HasPrefix(line, "    ") {
				codes = append(codes, line)
			}
			for _, m := range span.FindAllStringSubmatch(line, -1) {
				codes = append(codes, m[1])
			}
			for _, code := range codes {
				words := split(code)
				for len(words) > 0 && strings.Contains(words[0], "=") { // CASTELLAN_…=… before the program
					words = words[1:]
				}
				if len(words) > 1 && filepath.Base(words[0]) == program {
					found = append(found, command{file + ": " + strings.TrimSpace(code), words})
				}
			}
		}
	}
	return found
}

// split takes a line into words as a shell does, as far as the documents go: quotes, comments, and what follows a |, &&
// or >.
func split(line string) (words []string) {
	var word strings.Builder
	quote, inside := rune(0), false
	end := func() {
		if inside {
			words = append(words, word.String())
		}
		word.Reset()
		inside = false
	}
	for _, r := range strings.TrimSpace(line) {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inside = r, true
		case r == ' ':
			end()
		case !inside && strings.ContainsRune("#|>&", r):
			return words
		default:
			word.WriteRune(r)
			inside = true
		}
	}
	end()
	return words
}

func TestSplit(t *testing.T) {
	require.Equal(t, []string{"a", "b c", `{"d":"e"}`, "f"}, split(`   a "b c" '{"d":"e"}' f # g`))
	require.Equal(t, []string{"a", "--b=c"}, split("a --b=c | d"))
}

func documents(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, found)
	all := []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}
	for _, path := range found {
		all = append(all, "docs/"+filepath.Base(path))
	}
	return all
}
