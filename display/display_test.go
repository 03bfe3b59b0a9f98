package display_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/display"
)

// hostile are texts that somebody could type as a name, a reason, or an address.
var hostile = []string{
	"x'$(touch pwned)'", "`touch pwned`", "$(touch pwned)", "${IFS}touch", `"; touch pwned; "`, "o'brien@acme.example",
	`\`, `a\'b`, "-rf", "--help", "!!", "a!b",
	"line\nend", "carriage\rreturn", "crlf\r\nBcc: eve@acme.example", "tab\there", "nul\x00byte", "\x1b[31mred\x1b[0m",
	"\x1b]0;title\x07", "\u009b31m",
	"\u202egnp.exe", "a\u2066b\u2069", "zero\u200bwidth", "soft\u00adhyphen", "tag\U000e0041", "\u2028", "\u2029",
	"\u0085", "\u3164", "\xff\xfe",
	"# heading", "\n# heading", "## Waits for approval\n\n    temporal workflow update execute", "> quote", "- item",
	"1. item", "1) item", "+ item", "===", "---", "* * *",
	"[click](https://evil.example)", "![x](https://evil.example/x.png)", "<b>bold</b>", "<script>alert(1)</script>",
	"<!-- comment", "https://evil.example",
	"www.evil.example", "mailto:eve@evil.example", "see https://evil.example/a`b now", "<https://evil.example>",
	"```\ncode\n```", "~~~", "~~gone~~", "*bold*", "_em_", "__strong__",
	"snake_case_name", "a|b|c", "| a |\n|---|", "&lt;b&gt;", "&#35; heading", "\\# heading", "`", "``", "```",
	"a `b` c", "    indented", "\tindented", "[x]: https://evil.example", "[^1]",
	"<@U123> <!here>", "@channel @here @everyone @all", "=1+1", "+1", "-1", "@SUM(1)", "\t=1", "a;=1", "a\n=1", "'=1",
	"＝1", "'", "''", "",
	"=?utf-8?q?hidden?=", "ana@acme.example", "Ærøskøbing, نام\u200cها, 👩\u200d🚒", strings.Repeat("long ", 10_000),
}

func anything() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom(hostile), rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(hostile[:len(hostile)-1]), 1, 4).Draw(t, "pieces"),
			rapid.SampledFrom([]string{"", " ", "\n", "'"}).Draw(t, "between"))
	}), rapid.Custom(func(t *rapid.T) string {
		return rapid.StringOfN(rapid.RuneFrom([]rune("a_*`~#>|[]()<>&!\\-+=.1:;'\"$\n\t /@\u202e\x1b")), 0, 40,
			-1).Draw(t, "signs")
	}))
}

// seen reports whether every character of a text is visible, except line ends where those are allowed.
func seen(t require.TestingT, text string, lines bool) {
	require.True(t, utf8.ValidString(text))
	for _, r := range text {
		switch {
		case r == '\n' && lines, r == '\u200c', r == '\u200d':
		default:
			require.False(t, unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp), "%q in %q", r, text)
		}
	}
}

func TestTerminalIsOneLineOfVisibleCharacters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := anything().Draw(t, "text")
		is := display.Terminal(of)
		seen(t, is, false)
		require.LessOrEqual(t, len(is), 2000)
		seen(t, display.Lines(of), true)
		seen(t, display.Subject(of), false)
		require.NotContains(t, display.Subject(of), "=?")
	})
	require.Equal(t, "⟨U+001B⟩[31mred⟨U+001B⟩[0m", display.Terminal("\x1b[31mred\x1b[0m"))
	require.Equal(t, "⟨U+202E⟩gnp.exe", display.Terminal("\u202egnp.exe"))
	require.Equal(t, "Ærøskøbing, نام\u200cها, 👩\u200d🚒", display.Terminal("Ærøskøbing, نام\u200cها, 👩\u200d🚒"))
}

func TestFprintfMakesEveryArgumentHarmless(t *testing.T) {
	type name string
	var b bytes.Buffer
	display.Fprintf(&b, "%s|%s|%v|%d|%s|%s|%v\n", "a\x1b\nb", name("c\nd"), errors.New("e\nf"), 7, display.Safe("g\nh"),
		display.Starter("runs", "a b"), []string{"i\nj"})
	require.Equal(t, "a⟨U+001B⟩ b|c d|e f|7|g\nh|starter runs 'a b'|[i j]\n", b.String())
}

// TestQuoteIsOneWordToAShell asks a real shell.
func TestQuoteIsOneWordToAShell(t *testing.T) {
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	var line strings.Builder
	var want []string
	for _, word := range hostile[:len(hostile)-1] {
		line.WriteString(" " + display.Quote(word))
		want = append(want, strings.NewReplacer("\n", "⟨U+000A⟩", "\t", "⟨U+0009⟩").Replace(display.Visible(word)))
	}
	out, err := exec.Command(shell, "-c", `printf '%s\n' `+line.String()).Output()
	require.NoError(t, err)
	require.Equal(t, strings.Join(want, "\n")+"\n", string(out))
	for word, quoted := range map[string]string{
		"o'brien@acme.example": `'o'\''brien@acme.example'`, "ana@acme.example": "ana@acme.example",
		"grant:acme:role:org-admin:a@b.c": "grant:acme:role:org-admin:a@b.c",
		"":                                "''", "a b": "'a b'", "=ls": "'=ls'", "~": "'~'",
	} {
		require.Equal(t, quoted, display.Quote(word))
	}
}

func TestCommandsAreOneCommand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := anything().Draw(t, "text")
		for _, c := range []display.Command{
			display.Update(of, "approve", display.Input{{"request", of}, {of, of}}),
			display.Starter("grant", of, "x").With("--reason", of).Flag("--wait"),
			display.Signal("w", of, nil), display.Query(of, of), display.List("CastellanOrg", of),
		} {
			seen(t, c.String(), false)
		}
	})
	c := display.Update("org-sync:acme", "approve", display.Input{{"request", "g'1"}, {"by", "\u202e<a>"}})
	require.Equal(t, `temporal workflow update execute --workflow-id org-sync:acme --name approve --input '{"request":"g'\''1","by":"\u202e<a>"}' --output json`, c.String())
	var page display.Page
	page.Command(c)
	require.Equal(t, "\n    temporal workflow update execute \\\n      --workflow-id org-sync:acme \\\n      --name approve \\\n"+
		`      --input '{"request":"g'\''1","by":"\u202e<a>"}'`+" \\\n      --output json\n\n", page.String())
	require.Equal(t, "starter approve --by you@example.com -- -h",
		display.Starter("approve", "-h").With("--by", "you@example.com").String())
	require.Equal(t, `temporal workflow list --query 'CastellanTarget="a\"b" AND CastellanState="active"'`,
		display.List("CastellanTarget", `a"b`, "CastellanState", "active").String())
}

// TestMarkdownIsNothingButText parses what people typed as Markdown with GitHub's extensions.
func TestMarkdownIsNothingButText(t *testing.T) {
	parser := goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote)).Parser()
	check := func(t require.TestingT, of string) {
		for _, form := range []string{"%s", "- %s", "> %s", "before %s after", "| a | b |\n|---|---|\n| %s | x |",
			"**%s**: x", "### Request %s"} {
			for _, arg := range []any{of, display.Code(of)} {
				var page, plain display.Page
				page.Line(form, arg)
				plain.Line(form, "x")
				kinds := func(source string) map[string]int {
					found := map[string]int{}
					_ = ast.Walk(parser.Parse(text.NewReader([]byte(source))),
						func(n ast.Node, entering bool) (ast.WalkStatus, error) {
							link, mail := n.(*ast.AutoLink)
							switch kind := n.Kind(); {
							case !entering, kind == ast.KindText, kind == ast.KindCodeSpan, kind == ast.KindString,
								kind == ast.KindTextBlock, kind == ast.KindParagraph,
								mail && link.AutoLinkType == ast.AutoLinkEmail:
							default:
								found[kind.String()]++
							}
							return ast.WalkContinue, nil
						})
					return found
				}
				require.Equal(t, kinds(plain.String()), kinds(page.String()), "%q in %q", of, page.String())
			}
		}
	}
	for _, of := range hostile {
		if strings.TrimSpace(of) != "" {
			check(t, of)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		if of := anything().Draw(t, "text"); display.Terminal(of) != "" {
			check(t, of)
		}
	})
	require.Equal(t, "ana.kim@acme.example asked for role:org-admin (2h30m): INC-4711, it's 5 > 3",
		display.Markdown("ana.kim@acme.example asked for role:org-admin (2h30m): INC-4711, it's 5 > 3"))
	require.Equal(t, "snake_case_name", display.Markdown("snake_case_name"))
	require.Equal(t, "see `https://evil.example`", display.Markdown("see https://evil.example"))
}

func TestMrkdwnMentionsNobodyAndSetsNothingApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		is := display.Mrkdwn(anything().Draw(t, "text"))
		require.NotContains(t, strings.NewReplacer("&amp;", "", "&lt;", "", "&gt;", "").Replace(is), "&")
		for _, sign := range []string{"<", ">", "*", "~", "`", "@channel", "@here", "]("} {
			require.NotContains(t, is, sign)
		}
		block := display.MrkdwnBlock(anything().Draw(t, "command"))
		require.NotContains(t, strings.TrimSuffix(strings.TrimPrefix(block, "```"), "```"), "```")
	})
	require.Equal(t, "a &lt;b&gt; &amp; snake_case ˋxˋ\n› &lt;@U123&gt;",
		display.Mrkdwn("a <b> & snake_case `x`\n> <@U123>"))
}

func TestCellIsNoFormulaAndIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := anything().Draw(t, "text")
		is := display.EscapeFormula(of)
		require.Equal(t, of, display.UnescapeFormula(is))
		for _, piece := range strings.FieldsFunc(is, func(r rune) bool { return strings.ContainsRune(";\t\r\n", r) }) {
			if piece = strings.TrimLeft(piece, " \""); piece != "" {
				require.NotContains(t, "=+-@", piece[:1], "%q", is)
			}
		}
		require.LessOrEqual(t, len(display.Cell(of)), 32_000)
	})
	require.Equal(t, "'=1+1", display.Cell("=1+1"))
	require.Equal(t, "a;'=1", display.Cell("a;=1"))
}

func TestJSONShowsWhatCannotBeSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := anything().Draw(t, "text")
		var b bytes.Buffer
		require.NoError(t, display.JSON(&b, map[string]string{"a": of}))
		seen(t, b.String(), true)
		var back map[string]string
		require.NoError(t, json.Unmarshal(b.Bytes(), &back))
		require.Equal(t, strings.ToValidUTF8(strings.Map(func(r rune) rune { return r }, of), "\ufffd"), back["a"])
	})
}

// An answer has people's texts in values of every kind, and is read with other tools.
func TestAnswerShowsWhatCannotBeSeen(t *testing.T) {
	type inner struct {
		Name  string
		Names []string
		By    map[string]string
	}
	type outer struct {
		At    time.Time
		Text  string
		One   *inner
		Many  []inner
		Raw   json.RawMessage
		Bytes []byte
		N     int
		any   string
	}
	rapid.Check(t, func(t *rapid.T) {
		text := func() string { return anything().Draw(t, "text") }
		raw, err := json.Marshal(map[string]any{"reason": text(), "n": json.Number("12345678901234567890"),
			"list": []string{text()}})
		require.NoError(t, err)
		of := outer{time.Unix(1, 2).UTC(), text(), &inner{Name: text()},
			[]inner{{text(), []string{text()}, map[string]string{"a": text()}}}, raw, []byte(text()), 7, "mine"}
		before := fmt.Sprintf("%#v %#v", of, *of.One)
		is := display.Answer(of)
		require.Equal(t, before, fmt.Sprintf("%#v %#v", of, *of.One), "what it was made of stays")
		for _, s := range []string{is.Text, is.One.Name, is.Many[0].Name, is.Many[0].Names[0], is.Many[0].By["a"]} {
			seen(t, s, false)
		}
		var back map[string]any
		require.NoError(t, json.Unmarshal(is.Raw, &back))
		seen(t, back["reason"].(string), false)
		seen(t, back["list"].([]any)[0].(string), false)
		require.Contains(t, string(is.Raw), "12345678901234567890")
		require.Equal(t, of.Bytes, is.Bytes)
		require.Equal(t, is, display.Answer(is))
	})
	plain := outer{Text: "a  group, نام\u200cها ", Raw: json.RawMessage(`{"b":1, "a":"x"}`)}
	require.Equal(t, plain, display.Answer(plain), "names keep their spaces, and what is hashed its form")
	require.Equal(t, "x ## Approved⟨U+001B⟩[2J⟨U+009B⟩31m⟨U+202E⟩",
		display.Answer("x\n## Approved\x1b[2J\u009b31m\u202e"))
}
