package attribute

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/policy/condition"
)

func ana() *Subject {
	yes := true
	return &Subject{
		Source: "corp", Key: "6f9619ff", Enabled: &yes, Groups: []string{"staff", "grace"},
		Attributes: map[string]any{
			"mail": "Ana@acme.example", "displayName": "", "cn": " Ana Ude\u0308 ", "title": nil, "employeeNumber": 17.0,
			"proxyAddresses": []any{"smtp:ana@acme.example", "smtp:a.lima@acme.example"}, "one": []any{"x"},
			"name": map[string]any{"givenName": "Ana"}, "urn:x:y": map[string]any{"department": "Legal"}, "vip": true,
			"none": []any{}, "notes": "a\nb", "in-form": "dash",
		},
	}
}

func TestExpressionValue(t *testing.T) {
	tests := []struct{ text, want, fails string }{
		{text: `mail`, want: "Ana@acme.example"},
		{text: `MAIL`, want: "Ana@acme.example"},
		{text: `mail.lowerAscii()`, want: "ana@acme.example"},
		{text: `cn`, want: "Ana Ud\u00eb"},
		{text: `first(displayName, cn)`, want: "Ana Ud\u00eb"},
		{text: `first(missing, displayName, cn)`, want: "Ana Ud\u00eb"},
		{text: `first(missing, "")`, want: ""},
		{text: `first(missing, title)`, fails: "does not say it"},
		{text: `first(proxyAddresses)`, want: "smtp:ana@acme.example"},
		{text: `first(none, cn)`, want: "Ana Ud\u00eb"},
		{text: `displayName`, want: ""},
		{text: `title`, fails: "does not say it: title"},
		{text: `missing`, fails: "does not say it: missing"},
		{text: `missing + "x"`, fails: "does not say it: missing"},
		{text: `name.givenName`, want: "Ana"},
		{text: `name.familyName`, fails: "does not say it"},
		{text: `attributes["urn:x:y"].department`, want: "Legal"},
		{text: `attributes["in-form"]`, want: "dash"},
		{text: `attributes["nothing"]`, fails: "does not say it"},
		{text: `employeeNumber`, want: "17"},
		{text: `vip`, want: "true"},
		{text: `one`, want: "x"},
		{text: `none`, fails: "does not say it"},
		{text: `proxyAddresses`, fails: "gives 2 values"},
		{text: `name`, fails: "not a text"},
		{text: `notes`, fails: "line break"},
		{text: `cn + cn.size()`, fails: "cannot be answered"},
		{text: `proxyAddresses.filter(a, a.startsWith("smtp:a."))[0].replace("smtp:", "")`, want: "a.lima@acme.example"},
		{text: `proxyAddresses.filter(a, a.startsWith("x"))[0]`, fails: "cannot be answered"},
		{text: `"x".replace("x", attributes["in-form"] + "` + strings.Repeat("y", 1100) + `")`, fails: "at most 1024"},
		{text: `source + ":" + key`, want: "corp:6f9619ff"},
		{text: `"grace" in groups ? "G" : "S"`, want: "G"},
	}
	for _, test := range tests {
		t.Run(test.text[:min(40, len(test.text))], func(t *testing.T) {
			expression, err := CompileValue(test.text)
			require.NoError(t, err)
			got, err := expression.Value(ana())
			if test.fails != "" {
				require.ErrorContains(t, err, test.fails)
				require.Equal(t, strings.Contains(test.fails, "does not say it"), assertUnknown(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func assertUnknown(err error) bool { return strings.Contains(err.Error(), ErrUnknown.Error()) }

func TestExpressionHolds(t *testing.T) {
	unsaid := ana()
	unsaid.Enabled = nil
	tests := []struct {
		text    string
		subject *Subject
		want    bool
		unknown bool
	}{
		{text: `enabled || "grace" in groups`, subject: ana(), want: true},
		{text: `enabled || "grace" in groups`, subject: unsaid, want: true},
		{text: `enabled && "grace" in groups`, subject: unsaid, unknown: true},
		{text: `enabled`, subject: unsaid, unknown: true},
		{text: `"contractors" in groups`, subject: ana()},
		{text: `employeeType == "staff"`, subject: ana(), unknown: true},
		{text: `mail.endsWith("@acme.example") && vip`, subject: ana(), want: true},
		{text: `groups.exists(g, g.startsWith("gr"))`, subject: ana(), want: true},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			scope, err := CompileScope(test.text)
			require.NoError(t, err)
			got, err := scope.Holds(test.subject)
			if test.unknown {
				require.ErrorIs(t, err, ErrUnknown)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	tests := []struct {
		text, says string
		scope      bool
		at         int
	}{
		{text: " ", says: "empty"},
		{text: "mail +", says: "mismatched input", at: 6},
		{text: "mial(cn)", says: "undeclared reference", at: 4},
		{text: `"a" == "b"`, says: ""},
		{text: `groups.map(g, {g: 1})`, says: ""},
		{text: `{"a": 1}`, says: "gives a text"},
		{text: `"staff"`, says: "true or false", scope: true},
		{text: `mail.matches(cn)`, says: "is computed"},
		{text: `mail.matches("((abcdefghij){20}){10}")`, says: "regular expressions of the condition take"},
		{text: strings.Repeat("(", 60) + "mail" + strings.Repeat(")", 60), says: "recursion"},
		{text: `"` + strings.Repeat("x", 4100) + `"`, says: "size"},
		{text: `first(a, b, c, d, e, f, g, h, i)`, says: "no matching overload", at: 5},
	}
	for _, test := range tests {
		t.Run(test.text[:min(30, len(test.text))], func(t *testing.T) {
			compileOne := CompileValue
			if test.scope {
				compileOne = CompileScope
			}
			_, err := compileOne(test.text)
			if test.says == "" {
				require.NoError(t, err)
				return
			}
			var refused *condition.Error
			require.ErrorAs(t, err, &refused)
			require.Contains(t, refused.Message, test.says)
			if test.at > 0 {
				require.Equal(t, test.at, refused.Offset)
			}
		})
	}
}

func TestExpressionCostIsBounded(t *testing.T) {
	expression, err := CompileValue(`groups.map(a, groups.map(b, groups.map(c, a + b + c).size()).size()).size()`)
	require.NoError(t, err)
	subject := ana()
	subject.Groups = make([]string, 300)
	_, err = expression.Value(subject)
	require.ErrorContains(t, err, "cost")
}
