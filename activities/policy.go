package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/atlassian/organization"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/policy"
)

// AdmitInput is a policy to be taken into force, or only looked at.
type AdmitInput struct {
	Org     string          `json:"org"`
	Policy  json.RawMessage `json:"policy,omitempty"`
	By      string          `json:"by,omitempty"`
	Preview bool            `json:"preview,omitempty"` // keep it for a preview, do not take it into force
}

// AdmitResult is the policy as the loop needs it.
type AdmitResult struct {
	Policy   string            `json:"policy"` // hash
	Changed  bool              `json:"changed"`
	Adopted  bool              `json:"adopted"`
	Mappings int               `json:"mappings"`
	Targets  int               `json:"targets"`
	Settings messages.Settings `json:"settings"`
	Findings []string          `json:"findings,omitempty"`
}

// Admit checks a policy against itself and against the living organization, and takes it into force. Policy errors,
// among them a target that is SCIM-synced, refuse it before anything is written. A repeat changes nothing.
func (a *Activities) Admit(ctx context.Context, in AdmitInput) (AdmitResult, error) {
	source := policySource(in.Policy)
	if (len(source) == 0 || string(source) == "null") && in.Preview {
		current, err := a.ledger.Policy(ctx, in.Org, "")
		if err != nil {
			return AdmitResult{}, stop(ErrUnknown, fmt.Errorf("organization %s has no policy in force to preview: give one: %w", in.Org, err))
		}
		source = current.Source
	}
	p, err := policy.Parse("policy", source)
	if err != nil {
		return AdmitResult{}, stop(ErrPolicy, fmt.Errorf("the policy is not accepted:\n%w", err))
	}
	if p.Organization.Name != in.Org {
		return AdmitResult{}, stop(ErrPolicy, fmt.Errorf("the policy is for organization %q, this workflow for %q: correct organization.name, or start %s", p.Organization.Name, in.Org, messages.OrgSyncID(p.Organization.Name)))
	}
	s, err := a.connect(in.Org, p)
	if err != nil {
		return AdmitResult{}, err
	}
	if err := s.checkKey(ctx); err != nil {
		return AdmitResult{}, err
	}
	outline, err := s.readOutline(ctx, policy.Last{})
	if err != nil {
		return AdmitResult{}, err
	}
	bound, findings := policy.Bind(p, outline)
	more, err := s.checkRules(ctx, bound)
	if err != nil {
		return AdmitResult{}, err
	}
	findings = append(findings, more...)
	if refused := blocking(findings); refused != "" && !in.Preview {
		return AdmitResult{}, stop(ErrPolicy, fmt.Errorf("the policy does not fit organization %s:\n%s", in.Org, refused))
	}
	version := ledger.PolicyVersion{
		Org: in.Org, Hash: p.Hash(), Body: p.JSON(), Source: source, OrgID: p.Organization.ID, Directory: s.directory,
		By: in.By, At: a.now(),
	}
	result := AdmitResult{Policy: version.Hash, Mappings: len(p.Mappings), Targets: len(bound.Targets), Settings: settings(p), Findings: access.Summarize(findings, 20)}
	if in.Preview {
		return result, a.ledger.KeepPolicy(ctx, version)
	}
	if result.Changed, err = a.ledger.SavePolicy(ctx, version); err != nil {
		return result, err
	}
	if err := a.closeOldHold(ctx, in.Org, version.Hash); err != nil {
		return result, err
	}
	if err := a.ledger.SaveKnownDefaults(ctx, in.Org, bound.Defaults()); err != nil {
		return result, err
	}
	if err := a.ledger.SaveDomains(ctx, in.Org, bound.Domains()); err != nil {
		return result, err
	}
	if p.Guard.Adopt == policy.AdoptAuto {
		if err := a.ledger.Adopt(ctx, in.Org, "", "policy (guard.adopt: auto)", a.now()); err != nil {
			return result, err
		}
	}
	known, err := a.ledger.Organization(ctx, in.Org)
	result.Adopted = !known.AdoptedAt.IsZero()
	return result, err
}

// closeOldHold closes a hold that was judged under another policy.
func (a *Activities) closeOldHold(ctx context.Context, org, policy string) error {
	hold, err := a.ledger.CurrentHold(ctx, org)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if run, err := a.ledger.Run(ctx, org, hold.Run); err == nil && run.Policy == policy {
		return nil
	}
	return a.ledger.CloseHold(ctx, org, "a new policy is in force")
}

// checkKey tells a key that is wrong or belongs to another organization from one that works, and finds the directory.
func (s *session) checkKey(ctx context.Context) error {
	_, err := s.api.Org(ctx)
	if errors.Is(err, organization.ErrNotFound) || errors.Is(err, organization.ErrForbidden) {
		return stop(ErrForbidden, fmt.Errorf("the key may not manage organization id %s: check organization.id, and that the key was made in that organization by an organization admin, without scopes: %w", s.policy.Organization.ID, err))
	}
	if err != nil {
		return explain("look up organization "+s.org, err)
	}
	if s.directory == "" {
		s.directory, err = s.onlyDirectory(ctx)
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

// policySource takes the policy as a JSON object, or as one JSON string that holds the YAML.
func policySource(raw json.RawMessage) []byte {
	var text string
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte(`"`)) && json.Unmarshal(raw, &text) == nil {
		return []byte(text)
	}
	return raw
}

func settings(p *policy.Policy) messages.Settings {
	return messages.Settings{
		Every: messages.Duration(p.Sync.Every), Feed: messages.Duration(p.Sync.Feed), InFlight: p.Sync.InFlight,
		Pages: p.Sync.Pages, Settle: messages.Duration(p.Guard.Settle), DryRun: p.DryRun,
		Scheduled: scheduled(p),
		Clocked:   slices.ContainsFunc(p.Rules, func(r policy.Rule) bool { return r.Clocked() }),
	}
}
