package reports

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/report"
)

// The sections of a governance report.
const (
	sectionCounts    = "" // not shown: what pages counted
	sectionProtected = "protected-targets"
	sectionByHand    = "admins-by-hand"
	sectionStale     = "stale-admins"
	sectionExternal  = "external-people"
	sectionUnclear   = "unclear-people"
	sectionInactive  = "inactive-people"
	sectionLeft      = "in-no-source-group"
	sectionForeign   = "foreign-memberships"
	sectionUnmanaged = "unmanaged-accounts"
	sectionUnlinked  = "unlinked-accounts"
	sectionDomains   = "domains"
	sectionBroad     = "broad-access"
	sectionConflicts = "rule-conflicts"
	sectionMoved     = "evidence"
	sectionSuspended = "suspended"
)

// What pages count for the report as a whole.
const (
	countPeople     = "people"
	countActive     = "active"
	countSuspended  = "suspended"
	countExternal   = "external"
	countUseUnknown = "use unknown"
	countDomain     = "domain"  // active people, by the domain of their address
	countHolders    = "holders" // of a protected target
)

const (
	rowsShown   = 5000 // of one section
	reportsKept = 53   // a year of weekly ones, and this one
	manyHolders = 0.5  // the share of all active people beyond which access to an admin role, or by one group, is broad
)

var sections = []report.Section{
	{Key: sectionProtected, Title: "Who holds protected targets, and why", Severity: report.Look, Identity: 2,
		Columns: []string{"target", "person", "since", "why", "last use", "status"},
		About:   "Everybody in the targets that the policy protects. Each should have a reason that you know."},
	{Key: sectionByHand, Title: "Admins added outside the policy", Severity: report.Act, Identity: 2,
		Columns: []string{"person", "target", "seen since", "last use"},
		About:   "Nothing in the policy gives these people the protected target that they hold: they were added manually. Add them to a source group, or remove them."},
	{Key: sectionStale, Title: "Inactive admins", Severity: report.Act, Identity: 2,
		Columns: []string{"person", "target", "last use"},
		About:   "Holders of protected targets who have used no app for governance.inactive. Standing admin access that is not used is a risk without a benefit; grants give it when it is needed."},
	{Key: sectionBroad, Title: "Access that is broader than it needs to be", Severity: report.Look,
		Columns: []string{"who or what", "what was seen", "detail"},
		About:   "Groups that open more than their purpose, admin roles in many hands, people with several admin targets at once."},
	{Key: sectionExternal, Title: "External people", Severity: report.Look,
		Columns: []string{"person", "domain", "how they came", "sponsor", "until", "apps", "last use"},
		About:   "People whose e-mail domain is not the organization's own. A sponsor and an end come from a grant of directory."},
	{Key: sectionLeft, Title: "Active people in no source group", Severity: report.Act,
		Columns: []string{"person", "managed by", "last use", "added"},
		About:   "Accounts in the organization's own domains that are active at Atlassian but no longer in any group of an identity provider. People who left should not be here."},
	{Key: sectionInactive, Title: "People who use nothing that they have access to", Severity: report.Look,
		Columns: []string{"person", "apps", "last use", "added"},
		About:   "Their licences are paid for. Atlassian's dates are up to a day behind; people without dates are not listed."},
	{Key: sectionForeign, Title: "Memberships that nothing explains", Severity: report.Look, Identity: 2,
		Columns: []string{"person", "target", "since"},
		About:   "Memberships in targets of the policy that Castellan did not make and that no mapping, rule or grant gives. Castellan leaves them alone unless the mapping says removals: all."},
	{Key: sectionUnmanaged, Title: "Unmanaged accounts in the organization's own domains", Severity: report.Act,
		Columns: []string{"person", "domain", "added"},
		About:   "The organization cannot manage these accounts although their domain counts as its own. Verify the domain and claim the accounts."},
	{Key: sectionUnlinked, Title: "Managed accounts without a SCIM record", Severity: report.Act,
		Columns: []string{"person", "came by", "source groups", "added"},
		About:   "Managed accounts that the identity provider does not provision, for example made by login: deactivating them there does not reach Atlassian. Put them in the provisioning scope."},
	{Key: sectionUnclear, Title: "People for whom it is not known whether they are external", Severity: report.Look,
		Columns: []string{"person", "why", "claim"},
		About:   "Rules that depend on external cannot be evaluated for them, and do not change their access."},
	{Key: sectionDomains, Title: "E-mail domains", Severity: report.Look,
		Columns: []string{"domain", "status", "active people"},
		About:   "Domains of the organization that are not verified, and domains that people have and that are not the organization's."},
	{Key: sectionConflicts, Title: "Rules that conflict, flap, or cannot be evaluated", Severity: report.Act,
		Columns: []string{"what", "about", "detail"},
		About:   "As the last full verification noticed. Each names both sides: decide which of them is right."},
	{Key: sectionMoved, Title: "What changed under the policy", Severity: report.Act,
		Columns: []string{"what", "about", "detail"},
		About:   "As the last full verification noticed: source groups whose members cannot be trusted at the moment, default groups and domains that have changed, targets with more holders than the policy allows. Changes based on them wait for a decision."},
	{Key: sectionSuspended, Title: "Suspended by Castellan", Severity: report.Know,
		Columns: []string{"person", "since", "by"},
		About:   "People whom rules suspended and who are still suspended. A rule with restore: true restores them."},
}

// GovernEndInput ends an examination of the whole organization.
type GovernEndInput struct {
	Org       string    `json:"org"`
	Policy    string    `json:"policy"`
	Report    string    `json:"report"`
	Started   time.Time `json:"started"`
	Scheduled bool      `json:"scheduled,omitempty"` // the people named by the policy are notified
}

// GovernEnd makes the report of the findings, compares it with the one before, stores it, and notifies the people whom
// the policy names. A repeat makes the same report again.
//
// Calls: one for the domains.
func (a *Activities) GovernEnd(ctx context.Context, in GovernEndInput) (messages.Governance, error) {
	defer session.AutoHeartbeat(ctx)()
	s, err := a.task(a.env.Open(ctx, in.Org, in.Policy))
	if err != nil {
		return messages.Governance{}, err
	}
	b, err := s.Governed(ctx)
	if err != nil {
		return messages.Governance{}, err
	}
	counts, err := s.Ledger.ReportCounts(ctx, in.Org, in.Report)
	if err != nil {
		return messages.Governance{}, err
	}
	r := report.Report{Title: "Governance of " + in.Org, Org: in.Org, ID: in.Report, At: in.Started, Policy: in.Policy}
	before, err := s.Ledger.ReportBefore(ctx, in.Org, messages.ReportGovernance, in.Report)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return messages.Governance{}, err
	}
	if r.Facts, err = s.governFacts(ctx, b, counts, before.At); err != nil {
		return messages.Governance{}, err
	}
	for _, section := range sections {
		if err := s.fill(ctx, b, in, &section, counts); err != nil {
			return messages.Governance{}, err
		}
		r.Sections = append(r.Sections, section)
	}
	var last *report.Report
	if before.ID != "" {
		if read, err := report.Read(bytes.NewReader(before.Body)); err == nil {
			last = &read
		}
	}
	r.Compare(last)
	var body bytes.Buffer
	if err := r.JSON(&body); err != nil {
		return messages.Governance{}, err
	}
	if err := s.Ledger.SaveReport(ctx, in.Org,
		ledger.StoredReport{Kind: messages.ReportGovernance, ID: in.Report, At: in.Started, Body: body.Bytes()},
		reportsKept); err != nil {
		return messages.Governance{}, err
	}
	if err := s.Ledger.DropReportRows(ctx, in.Org, in.Report); err != nil {
		return messages.Governance{}, err
	}
	summary := summaryOf(r)
	if in.Scheduled && s.Policy.Governance != nil {
		err = s.tellFindings(ctx, summary)
	}
	return summary, err
}

// fill writes the findings of one section.
func (s *task) fill(ctx context.Context, b *policy.Bound, in GovernEndInput, section *report.Section,
	counts ledger.Notes) (err error) {
	switch section.Key {
	case sectionForeign:
		err = s.fillForeign(ctx, section)
	case sectionDomains:
		err = s.fillDomains(ctx, section, counts)
	case sectionConflicts:
		err = s.fillFindings(ctx, section, conflicts)
	case sectionMoved:
		err = s.fillFindings(ctx, section, movements)
	default:
		section.Rows, section.Count, err = s.Ledger.ReportRows(ctx, in.Org, in.Report, section.Key, rowsShown)
	}
	if err == nil && section.Key == sectionBroad {
		more := broad(b, counts)
		section.Rows, section.Count = append(more, section.Rows...), section.Count+len(more)
	}
	if section.Rows == nil {
		section.Rows = [][]string{}
	}
	return err
}

func (s *task) fillForeign(ctx context.Context, section *report.Section) error {
	all, err := s.Ledger.Foreign(ctx, s.Org, "", rowsShown+1, ledger.Key{})
	if err != nil {
		return err
	}
	ids := make([]string, len(all))
	for i, h := range all {
		ids[i] = h.Person
	}
	emails, err := s.Ledger.KnownEmails(ctx, s.Org, ids)
	for _, h := range all {
		who := emails[h.Person]
		if who == "" {
			who = h.Person
		}
		section.Rows = append(section.Rows, []string{who, string(h.Target), session.Date(h.From)})
	}
	section.Count = len(section.Rows)
	section.Rows = section.Rows[:min(len(section.Rows), rowsShown)]
	return err
}

// fillDomains lists the organization's domains that are not verified, and other domains by how many people have them.
func (s *task) fillDomains(ctx context.Context, section *report.Section, counts ledger.Notes) error {
	known := map[string]bool{}
	for _, d := range s.Policy.Organization.Domains {
		known[access.FoldDomain(d)] = true
	}
	if err := s.EachDomain(ctx, func(d organization.Domain) {
		name := access.FoldDomain(d.Name)
		if !d.Verified() && !known[name] {
			section.Rows = append(section.Rows, []string{name, d.ClaimStatus, fmt.Sprint(counts.Of(countDomain, name))})
		}
		known[name] = true
	}); err != nil {
		section.Incomplete = "the domains could not be read: " + session.ErrorText(err)
		return nil
	}
	for _, count := range counts.Sorted() {
		if name := count.About[0]; count.Kind == countDomain && name != "" && !known[name] {
			section.Rows = append(section.Rows, []string{name, "not the organization's", fmt.Sprint(counts[count])})
		}
	}
	section.Count = len(section.Rows)
	return nil
}

// The findings that a report repeats: of rules, and of what they depend on.
var (
	conflicts = []string{"rules-fight", "rules-circle", "given-back", "rule-unknown", "rule-group-unknown",
		"rule-app-unknown"}
	movements = []string{"source-suspect", "source-recreated", "default-moved", "domain-gone", "too-many-holders"}
)

// fillFindings writes the findings of some kinds of the last full verification into a section.
func (s *task) fillFindings(ctx context.Context, section *report.Section, kinds []string) error {
	runs, err := s.Ledger.Runs(ctx, s.Org, 100, "")
	if err != nil {
		return err
	}
	i := slices.IndexFunc(runs, func(r ledger.Run) bool {
		return r.Scope == messages.ScopeFull && !r.Preview &&
			!r.Ended.IsZero()
	})
	if i < 0 {
		section.Incomplete = "no full verification has ended yet"
		return nil
	}
	for _, f := range runs[i].Findings {
		if slices.Contains(kinds, f.Rule) {
			section.Rows = append(section.Rows, []string{f.Rule + " " + f.Subject, f.Subject, f.Detail})
		}
	}
	if hold, err := s.Ledger.CurrentHold(ctx, s.Org); err == nil && section.Key == sectionConflicts {
		for _, r := range hold.Rules {
			if r.Rule == "flapping" {
				section.Rows = append(section.Rows, []string{r.Rule + " " + r.Detail, "held", r.Detail})
			}
		}
	}
	section.Count = len(section.Rows)
	return nil
}

// broad finds groups that open more than one thing and admin roles in many hands.
func broad(b *policy.Bound, counts ledger.Notes) [][]string {
	var rows [][]string
	active := counts.Of(countActive)
	for _, t := range b.Targets {
		if len(t.Apps) > 1 {
			rows = append(rows, []string{string(t.Entitlement), "opens several apps at once",
				strings.Join(t.Apps, ", ")})
		}
		if t.Protected == nil {
			continue
		}
		holders := counts.Of(countHolders, string(t.Entitlement))
		if active > 10 && float64(holders) > manyHolders*float64(active) {
			rows = append(rows, []string{string(t.Entitlement) + " holders", "is protected, and held by most people",
				fmt.Sprintf("%d of %d", holders, active)})
		}
	}
	return rows
}

// governFacts are the key figures.
func (s *task) governFacts(ctx context.Context, b *policy.Bound, counts ledger.Notes, since time.Time) ([]report.Fact,
	error) {
	facts := []report.Fact{
		{Name: "People", Value: fmt.Sprint(counts.Of(countPeople))}, {Name: "Active", Value: fmt.Sprint(counts.Of(countActive))},
		{Name: "Suspended", Value: fmt.Sprint(counts.Of(countSuspended))},
		{Name: "External", Value: fmt.Sprint(counts.Of(countExternal))},
		{Name: "Use not known", Value: fmt.Sprint(counts.Of(countUseUnknown))},
		{Name: "Targets", Value: fmt.Sprint(len(b.Targets))},
		{Name: "Rules", Value: fmt.Sprint(len(s.Policy.Rules))},
	}
	for _, t := range b.Targets {
		if t.Protected != nil {
			facts = append(facts, report.Fact{Name: "Holders of " + string(t.Entitlement),
				Value: fmt.Sprint(counts.Of(countHolders, string(t.Entitlement)))})
		}
	}
	done, freed, err := s.Ledger.Written(ctx, s.Org, since)
	if err != nil {
		return nil, err
	}
	word := " since the last report"
	if since.IsZero() {
		word = " so far"
	}
	facts = append(facts, report.Fact{Name: "Changes made" + word,
		Value: fmt.Sprint(done[access.Add] + done[access.Remove])})
	for _, app := range session.SortedKeys(freed) {
		facts = append(facts, report.Fact{Name: "Licences freed" + word + ": " + app, Value: fmt.Sprint(freed[app])})
	}
	return facts, nil
}

func summaryOf(r report.Report) messages.Governance {
	g := messages.Governance{ID: r.ID, At: r.At}
	for _, s := range r.Sections {
		g.Sections = append(g.Sections, messages.SectionSummary{
			Key: s.Key, Title: s.Title, Severity: string(s.Severity), Count: s.Count, New: s.New, Gone: s.Gone,
			Incomplete: s.Incomplete,
		})
	}
	return g
}

// NoticeGovernance announces a governance report.
const NoticeGovernance = "governance-report"

func (s *task) tellFindings(ctx context.Context, g messages.Governance) error {
	text := "What was found in organization " + s.Org + ":"
	for _, f := range g.Sections {
		if f.Count > 0 {
			text += "\n" + display.Sprintf("%s: %d%s", f.Title, f.Count, display.Safe(change(f)))
		}
	}
	emails, err := s.Ledger.KnownEmails(ctx, s.Org, s.Policy.Governance.Notify)
	if err != nil {
		return err
	}
	for _, to := range s.Policy.Governance.Notify {
		if !access.IsAddress(to) {
			to = emails[to]
		}
		if to == "" {
			continue
		}
		err := s.Notifier.Notify(ctx, messages.Notice{
			ID: g.ID + " " + to, Kind: NoticeGovernance, Org: s.Org, At: s.Now(), To: to,
			Subject: "Governance report of " + s.Org, Text: text,
			Command: display.Starter("findings", s.Org).With("--format", "html").With("--out",
				"findings.html").String(),
		})
		if err != nil {
			return fmt.Errorf("tell %s of report %s: %w", to, g.ID, err)
		}
	}
	return nil
}

func change(f messages.SectionSummary) string {
	if f.New > 0 || f.Gone > 0 {
		return fmt.Sprintf(" (%d new, %d gone)", max(f.New, 0), max(f.Gone, 0))
	}
	return ""
}
