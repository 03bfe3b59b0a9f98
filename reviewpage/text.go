package reviewpage

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/display"
)

const notKnown = "not known"

// apps are the apps' product names.
var apps = map[string]string{
	"jira-software":          "Jira",
	"jira-servicedesk":       "Jira Service Management",
	"jira-product-discovery": "Jira Product Discovery",
	"jira-core":              "Jira Work Management",
	"confluence":             "Confluence",
	"bitbucket":              "Bitbucket",
	"compass":                "Compass",
	"trello":                 "Trello",
	"statuspage":             "Statuspage",
	"opsgenie":               "Opsgenie",
	"loom":                   "Loom",
}

// appOn returns "Jira on acme" for jira-software/acme.
func appOn(key string) string {
	app, site, found := strings.Cut(key, "/")
	if name, known := apps[access.AppKey(app)]; known {
		app = name
	}
	if !found {
		return app
	}
	return app + " on " + site
}

// targetText describes a target in everyday terms.
func targetText(t access.Entitlement) string {
	if t == access.OrgAdmin {
		return "organization admin"
	}
	app, site, role, ok := t.AppSiteRole()
	switch {
	case t.Kind() == access.KindGroup:
		return "group " + t.Group()
	case ok && t.Kind() == access.KindDefault:
		return "the usual access to " + appOn(app+"/"+site) + ", as " + role
	case ok:
		return "the role " + role + " in " + appOn(app+"/"+site)
	case t == access.Directory:
		return "an active account"
	case t == access.Organization:
		return "an account in the organization"
	}
	return string(t)
}

// opens describes what the target gives access to.
func opens(i access.Item) []string {
	switch {
	case i.Target == access.OrgAdmin:
		return []string{"everything: the administration of the whole organization"}
	case i.Target.Presence():
		return []string{"whatever else the person holds: without it, nothing"}
	case len(i.Opens) == 0:
		return []string{"no app that Castellan knows of"}
	}
	var words []string
	for _, key := range i.Opens {
		words = append(words, appOn(key))
	}
	return words
}

const maxReasons = 6

// reasons explains why the target is held.
func reasons(i access.Item) []string {
	var words []string
	for _, r := range i.Reasons {
		words = append(words, reasonText(r))
	}
	if more := len(words) - maxReasons; more > 0 {
		words = append(words[:maxReasons], "and "+display.Count(more, "reason", "reasons")+" more")
	}
	switch {
	case len(words) == 0 && i.Owned:
		return []string{"Castellan made or adopted it, and nothing in the policy explains it any more"}
	case len(words) == 0:
		return []string{"Castellan did not add it, and nothing in the policy explains it"}
	case !i.Owned:
		words = append(words, "Castellan did not add it")
	}
	return words
}

func reasonText(r access.Reason) string {
	words := string(r.Kind) + " " + r.Name
	switch r.Kind {
	case access.ReasonMapping:
		words = "the mapping " + r.Name + " gives it"
	case access.ReasonRule:
		words = "the rule " + r.Name + " gives it"
	case access.ReasonGrant:
		words = "a temporary grant gives it (" + r.Name + ")"
	case access.ReasonReview:
		words = "an earlier review kept it (" + r.Name + ")"
	case access.ReasonUndo:
		words = "an earlier run was undone (" + r.Name + ")"
	}
	if r.Source != "" {
		words += ", to everybody in the source group " + r.Source
	}
	return words
}

// lastUses tells when each app was last used, as known when the review opened. Unknown is never shown as unused.
func lastUses(i access.Item, opened time.Time) []string {
	if len(i.Uses) == 0 {
		return []string{notKnown}
	}
	var words []string
	for _, u := range i.Uses {
		said := notKnown
		switch {
		case u.Never:
			said = "never used"
		case !u.Last.IsZero():
			said = formatDay(u.Last) + before(u.Last, opened)
		}
		words = append(words, appOn(u.App)+": "+said)
	}
	return words
}

// before tells how many days before the review opened the use was.
func before(last, opened time.Time) string {
	if opened.IsZero() || last.After(opened) {
		return ""
	}
	switch days := int(opened.Sub(last).Hours() / 24); days {
	case 0:
		return ", within a day of the review's opening"
	case 1:
		return ", a day before the review opened"
	default:
		return fmt.Sprintf(", %d days before the review opened", days)
	}
}

// peers tells how common the target is among the person's peers.
func peers(i access.Item) string {
	if i.Peers == nil || i.Peers.Of == 0 {
		return "nobody to compare with"
	}
	return fmt.Sprintf("%d of %s in %s %s it too", i.Peers.Hold, display.Count(i.Peers.Of, "other", "others"), i.Peers.Group,
		hold(i.Peers.Hold))
}

func hold(n int) string {
	if n == 1 {
		return "holds"
	}
	return "hold"
}

func riskLevel(risk int) string {
	switch {
	case risk >= 70:
		return "high"
	case risk >= 40:
		return "medium"
	}
	return "low"
}

// previousDecision describes the item's result in the previous review.
func previousDecision(past *access.PastDecision) string {
	if past == nil {
		return ""
	}
	by := "by " + cmp.Or(past.ByEmail, past.By)
	if past.By == "" {
		by = "by the rule for silence: nobody decided"
	}
	return string(past.Verdict) + ", " + by + ", " + formatDay(past.At) + " (" + past.Review + ")"
}

// decisionText describes another reviewer's decision.
func decisionText(s access.ItemDecision, stages int) string {
	words := s.Who()
	if stages > 1 {
		words += ", stage " + strconv.Itoa(s.Stage)
	}
	if s.Verdict != "" {
		words += ": " + string(s.Verdict)
	}
	if s.Comment != "" {
		words += ", “" + s.Comment + "”"
	}
	return words + ", " + formatDay(s.At)
}

func formatDay(t time.Time) string {
	if t.IsZero() {
		return notKnown
	}
	return t.UTC().Format("2 January 2006")
}

func formatTime(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

func timeLeft(until time.Duration) string {
	switch {
	case until <= 0:
		return "now"
	case until < time.Hour:
		return "in " + display.Count(int(until.Minutes())+1, "minute", "minutes")
	case until < 48*time.Hour:
		return "in " + display.Count(int(until.Hours()), "hour", "hours")
	}
	return "in " + display.Count(int(until.Hours()/24), "day", "days")
}
