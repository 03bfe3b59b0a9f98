package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// AdmitInput is a policy that is to come into force, or to be previewed.
type AdmitInput struct {
	Org     string          `json:"org"`
	Policy  json.RawMessage `json:"policy,omitempty"`
	By      string          `json:"by,omitempty"`
	Preview bool            `json:"preview,omitempty"` // store it for a preview, without bringing it into force
}

// AdmitResult is the policy as the loop needs it.
type AdmitResult struct {
	Policy   string            `json:"policy"` // hash
	Changed  bool              `json:"changed"`
	Rebound  bool              `json:"rebound,omitempty"` // names that led to nobody have an account now
	Adopted  bool              `json:"adopted"`
	Mappings int               `json:"mappings"`
	Targets  int               `json:"targets"`
	Settings messages.Settings `json:"settings"`
	Findings []string          `json:"findings,omitempty"` // the first 20 kinds
	Reported int               `json:"reported,omitempty"` // the number of kinds
}

// admission is one policy that is to come into force, or to be previewed.
type admission struct {
	*task
	in       AdmitInput
	source   []byte
	written  *policy.Policy      // as in the source; the session's has its names' accounts
	names    []ledger.PolicyName // the accounts of its names
	bound    *policy.Bound
	findings []access.Finding
}

// Admit checks a policy by itself and against the organization, and brings it into force. Policy errors, among them a
// target that is SCIM-synced, refuse it before anything is written. A repeat changes nothing.
func (a *Activities) Admit(ctx context.Context, in AdmitInput) (AdmitResult, error) {
	source, err := a.givenSource(ctx, in)
	if err != nil {
		return AdmitResult{}, err
	}
	p, err := parseFor(in.Org, source)
	if err != nil {
		return AdmitResult{}, err
	}
	s, err := a.task(a.env.Connect(in.Org, p))
	if err != nil {
		return AdmitResult{}, err
	}
	ad := &admission{task: s, in: in, source: source, written: p}
	if err := ad.authorize(ctx); err != nil {
		return AdmitResult{}, err
	}
	if err := ad.fit(ctx); err != nil {
		return AdmitResult{}, err
	}
	if in.Preview {
		return ad.result(), ad.keep(ctx)
	}
	return ad.enforce(ctx)
}

// givenSource returns the text of the given policy. A preview without one is of the policy in force.
func (a *Activities) givenSource(ctx context.Context, in AdmitInput) ([]byte, error) {
	source := policySource(in.Policy)
	if given := len(source) > 0 && string(source) != "null"; given || !in.Preview {
		return source, nil
	}
	current, err := a.env.Ledger.Policy(ctx, in.Org, "")
	if err != nil {
		return nil, session.NonRetryable(session.ErrUnknown,
			fmt.Errorf("organization %s has no policy in force to preview: give one: %w", in.Org, err))
	}
	return current.Source, nil
}

// parseFor checks a policy by itself, and that it is for this organization.
func parseFor(org string, source []byte) (*policy.Policy, error) {
	p, err := policy.Parse("policy", source)
	if err != nil {
		return nil, session.NonRetryable(session.ErrPolicy, fmt.Errorf("the policy is not accepted:\n%w", err))
	}
	if p.Organization.Name != org {
		return nil, session.NonRetryable(session.ErrMisnamed,
			fmt.Errorf("the policy is for organization %q, this workflow for %q: correct organization.name, or start %s", p.Organization.Name, org, messages.OrgSyncID(p.Organization.Name)))
	}
	return p, nil
}

// authorize checks that no other name serves the organization, that the key may manage it, and that whoever applies the
// policy replaced the placeholder address of printed commands by their own.
func (ad *admission) authorize(ctx context.Context) error {
	if _, err := ad.CheckTaken(ctx, ad.Org, ad.written); err != nil {
		return err
	}
	if err := ad.checkKey(ctx); err != nil {
		return err
	}
	if ad.in.By == messages.You && !ad.in.Preview {
		return ad.checkDecider(ctx, ad.in.By)
	}
	return nil
}

// fit binds the policy to the organization as it is read now, and refuses one that does not fit. A preview shows that
// one too.
func (ad *admission) fit(ctx context.Context) error {
	names, unowned, err := ad.TakeNames(ctx, ad.in.Preview)
	if err != nil {
		return err
	}
	outline, err := ad.ReadOutline(ctx, policy.Last{})
	if err != nil {
		return err
	}
	bound, findings := policy.Bind(ad.Policy, outline)
	rules, err := ad.checkRules(ctx, bound)
	if err != nil {
		return err
	}
	ad.names, ad.bound, ad.findings = names, bound, slices.Concat(findings, unowned, rules)
	if refused := blocking(ad.findings); refused != "" && !ad.in.Preview {
		return session.NonRetryable(session.ErrPolicy,
			fmt.Errorf("the policy does not fit organization %s:\n%s", ad.Org, refused))
	}
	return nil
}

func (ad *admission) version() ledger.PolicyVersion {
	p := ad.written
	return ledger.PolicyVersion{
		Org: ad.Org, Hash: p.Hash(), Body: p.JSON(), Source: ad.source, OrgID: p.Organization.ID,
		Directory: ad.Directory,
		By:        ad.in.By, At: ad.Now(),
	}
}

func (ad *admission) result() AdmitResult {
	p := ad.written
	return AdmitResult{
		Policy: p.Hash(), Mappings: len(p.Mappings), Targets: len(ad.bound.Targets), Settings: settings(p),
		Findings: access.Summarize(ad.findings, 20), Reported: len(access.Summarize(ad.findings, len(ad.findings))),
	}
}

// keep stores the policy for a preview.
func (ad *admission) keep(ctx context.Context) error {
	version := ad.version()
	if err := ad.Ledger.KeepPolicyNames(ctx, ad.Org, ad.names, ad.Now()); err != nil {
		return err
	}
	return ad.Ledger.KeepPolicy(ctx, version)
}

// enforce brings the policy into force.
func (ad *admission) enforce(ctx context.Context) (AdmitResult, error) {
	version, result := ad.version(), ad.result()
	version.Names = ad.names
	result.Rebound = slices.ContainsFunc(ad.findings,
		func(f access.Finding) bool { return f.Rule == session.NameFound })
	var err error
	if result.Changed, err = ad.Ledger.SavePolicy(ctx, version); errors.Is(err, ledger.ErrServed) ||
		errors.Is(err, ledger.ErrGrantsOpen) {
		return result, session.NonRetryable(session.ErrPolicy, err)
	} else if err != nil {
		return result, err
	}
	if err := ad.closeOldHold(ctx, ad.Org, version.Hash); err != nil {
		return result, err
	}
	if err := ad.Ledger.SaveKnownDefaults(ctx, ad.Org, ad.bound.Defaults()); err != nil {
		return result, err
	}
	if err := ad.Ledger.SaveDomains(ctx, ad.Org, ad.bound.Domains()); err != nil {
		return result, err
	}
	if ad.written.Guard.Adopt == policy.AdoptAuto {
		if err := ad.Ledger.Adopt(ctx, ad.Org, "", "policy (guard.adopt: auto)", ad.Now()); err != nil {
			return result, err
		}
	}
	if err := ad.pruneSources(ctx); err != nil {
		return result, err
	}
	known, err := ad.Ledger.Organization(ctx, ad.Org)
	result.Adopted = !known.AdoptedAt.IsZero()
	return result, err
}

// mostPrunes bounds how often an activity deletes a part of what was read of former sources. What is left goes when a
// policy is applied again.
const mostPrunes = 100

// pruneSources deletes what was read of sources that the policy no longer has.
func (ad *admission) pruneSources(ctx context.Context) error {
	for range mostPrunes {
		removed, err := ad.Ledger.PruneSources(ctx, ad.Org, ad.written.SourceNames(), 0)
		if removed == 0 || err != nil {
			return err
		}
		activity.RecordHeartbeat(ctx, removed)
	}
	return nil
}

// closeOldHold closes a hold that was judged under another policy.
func (a *Activities) closeOldHold(ctx context.Context, org, policy string) error {
	hold, err := a.env.Ledger.CurrentHold(ctx, org)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if run, err := a.env.Ledger.Run(ctx, org, hold.Run); err == nil && run.Policy == policy {
		return nil
	}
	return a.env.Ledger.CloseHold(ctx, org, "a new policy is in force")
}

// checkKey checks that the key works and belongs to this organization, and finds the directory.
func (s *task) checkKey(ctx context.Context) error {
	_, err := s.API.Org(ctx)
	if errors.Is(err, organization.ErrNotFound) || errors.Is(err, organization.ErrForbidden) {
		return session.NonRetryable(session.ErrForbidden,
			fmt.Errorf("the key may not manage organization id %s: check organization.id, and that the key was made in that organization by an organization admin, without scopes: %w", s.Policy.Organization.ID, err))
	}
	if err != nil {
		return session.WrapAPIError("look up organization "+s.Org, err)
	}
	if s.Directory == "" {
		s.Directory, err = s.OnlyDirectory(ctx)
	}
	return err
}

func blocking(findings []access.Finding) string {
	var words []string
	for _, f := range findings {
		if f.Blocks {
			words = append(words, "  "+f.String())
		}
	}
	return strings.Join(words, "\n")
}

// policySource returns a policy that was given as a JSON object, or as one JSON string with the YAML.
func policySource(raw json.RawMessage) []byte {
	var text string
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte(`"`)) && json.Unmarshal(raw, &text) == nil {
		return []byte(text)
	}
	return raw
}

func settings(p *policy.Policy) messages.Settings {
	var sources []messages.SourceSetting
	for _, one := range p.Sources {
		sources = append(sources, messages.SourceSetting{Name: one.Name})
	}
	var provisions []messages.ProvisionSetting
	for _, one := range p.Provision {
		provisions = append(provisions, messages.ProvisionSetting{Name: one.Name, From: one.From})
	}
	return messages.Settings{
		Sources: sources, Provisions: provisions,
		Every: messages.Duration(p.Sync.Every), Feed: messages.Duration(p.Sync.Feed), InFlight: p.Sync.InFlight,
		Pages: p.Sync.Pages, Settle: messages.Duration(p.Guard.Settle), DryRun: p.DryRun,
		Scheduled: scheduled(p),
		Clocked:   slices.ContainsFunc(p.Rules, func(r policy.Rule) bool { return r.Timed() }),
	}
}

// checkRules checks that no rule may take from people who always stay what they always keep.
//
// Calls: named people/10.
func (s *task) checkRules(ctx context.Context, b *policy.Bound) ([]access.Finding, error) {
	var names []string
	for _, entry := range s.Policy.Protected {
		names = append(names, entry.Always...)
	}
	names = slices.DeleteFunc(session.Distinct(names), access.IsAddress) // names without an account
	if len(s.Policy.Rules) == 0 || len(names) == 0 {
		return nil, nil
	}
	read, err := s.ReadPeople(ctx, names)
	if err != nil {
		return nil, err
	}
	var found []access.Finding
	for i, entry := range s.Policy.Protected {
		for _, p := range read {
			if slices.Contains(entry.Always, p.ID) {
				found = append(found, s.contradicts(b, p, entry, fmt.Sprintf("protected[%d].always", i))...)
			}
		}
	}
	return found, nil
}

// contradicts returns the rules that would take a protected target, or presence, from somebody who always stays.
func (s *task) contradicts(b *policy.Bound, p access.Person, entry policy.Protected, where string) []access.Finding {
	var found []access.Finding
	for _, want := range b.Resolve(p, policy.Known{Now: s.Now(), Would: true}).Wants {
		e := b.Targets[want.Target].Entitlement
		if !e.Presence() && !slices.Contains(b.AllTargets(entry.Target), want.Target) {
			continue
		}
		for _, r := range want.Denied {
			found = append(found, access.Finding{Rule: "rule-against-floor", Subject: r.Name, Blocks: true,
				Detail: fmt.Sprintf(
					"it would take %s from %s, who always stays in %s (%s); exclude them from the rule's condition, or remove them there", e, p.Label(), entry.Target, where)})
		}
	}
	return found
}
