package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/internal/form"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
	"github.com/castellan-io/castellan/policy/provision"
)

// Parse reads a policy file in YAML or JSON, strictly, and applies the defaults. The error is of type Errors and holds
// every problem found, each with its place; name is the file's name in it. A key's value is never repeated in an error.
func Parse(name string, data []byte) (*Policy, error) { return parse(name, data, MaxFile) }

// ParseWritten is Parse for a policy as Policy.Canonical wrote it: with its defaults it is larger than the file was.
func ParseWritten(name string, data []byte) (*Policy, error) { return parse(name, data, 8*MaxFile) }

func parse(name string, data []byte, most int) (*Policy, error) {
	if len(data) > most {
		return nil, Errors{{File: name,
			Message: fmt.Sprintf("the file has %d bytes; a policy file has at most %d", len(data), most)}}
	}
	file, root, err := strictyaml.Open(name, data, "policy")
	if err != nil {
		return nil, err
	}
	r := &reader{Reader: file, conditions: map[string]*condition.Condition{}}
	p := r.policy(root)
	r.check(p)
	if err := r.Err(); err != nil {
		return nil, err
	}
	p.conditions = r.conditions
	return p, nil
}

// Problem is one mistake in a file: where it stands and what to do about it.
type Problem = strictyaml.Problem

// Errors is every problem of a file, in the order of the file.
type Errors = strictyaml.Errors

// reader reads a policy file.
type reader struct {
	*strictyaml.Reader
	entries    int                             // entries of mapping lists read so far
	conditions map[string]*condition.Condition // compiled so far, by text
	words      int                             // characters of all conditions so far
	loops      int                             // conditions that go through lists so far
	patterns   int                             // steps of regular expressions so far
	mentions   []mention                       // of identity sources in conditions
}

// policy reads the file's top level.
func (r *reader) policy(n *yaml.Node) *Policy {
	p := &Policy{Guard: DefaultGuard(), Sync: DefaultSync()}
	required := []string{"version", "organization", "mappings"}
	if slices.ContainsFunc(n.Content, func(key *yaml.Node) bool {
		return key.Value == "provision" || key.Value == "groups"
	}) {
		required = required[:2] // an organization may only provision, or have groups that follow those of sources
	}
	r.Object(n, "", strictyaml.Fields{
		"version":      r.Number(&p.Version, 1, 1),
		"organization": r.organization(&p.Organization),
		"sources":      provision.ReadSources(r.Reader, &p.Sources),
		"provision":    provision.ReadProvisions(r.Reader, &p.Provision),
		"mappings": r.List(MaxMappings, func(n *yaml.Node, path string) {
			p.Mappings = append(p.Mappings, r.mapping(n, path))
		}),
		"groups": provision.ReadGroupSyncs(r.Reader, &p.Groups, r.counted),
		"guard":  r.guard(&p.Guard),
		"protected": r.List(maxList, func(n *yaml.Node, path string) {
			p.Protected = append(p.Protected, r.protected(n, path))
		}),
		"grants": r.List(maxGrants, func(n *yaml.Node, path string) {
			p.Grants = append(p.Grants, r.grantable(n, path))
		}),
		"rules": r.List(maxRules, func(n *yaml.Node, path string) {
			p.Rules = append(p.Rules, r.rule(n, path))
		}),
		"reviews": r.List(maxReviews, func(n *yaml.Node, path string) {
			p.Reviews = append(p.Reviews, r.review(n, path))
		}),
		"governance": strictyaml.Section(&p.Governance, r.governance),
		"sync":       r.sync(&p.Sync),
		"dryRun":     r.Flag(&p.DryRun),
		"ignore":     strictyaml.Set(r.Reader, &p.Ignore, maxList, glob),
	}, required...)
	return p
}

func (r *reader) organization(o *Organization) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		r.Object(n, path, strictyaml.Fields{
			"name":       r.Checked(&o.Name, form.CheckShort),
			"id":         r.Checked(&o.ID, form.CheckVendorID),
			"directory":  r.Checked(&o.Directory, form.CheckVendorID),
			"key":        form.Secret(r.Reader, &o.Key),
			"keyOwner":   r.Checked(&o.KeyOwner, form.CheckPerson),
			"keyExpires": r.Value(&o.KeyExpires),
			"domains":    strictyaml.Set(r.Reader, &o.Domains, maxList, form.ParseDomain),
		}, "name", "id", "key")
	}
}

func (r *reader) mapping(n *yaml.Node, path string) Mapping {
	m := Mapping{Removals: RemoveOwned}
	r.Object(n, path, strictyaml.Fields{
		"name":        r.Checked(&m.Name, form.CheckEntry),
		"description": r.Text(&m.Description),
		"owner":       r.Text(&m.Owner),
		"from":        r.counted(strictyaml.Set(r.Reader, &m.From, maxList, glob)),
		"except":      r.counted(strictyaml.Set(r.Reader, &m.Except, maxList, glob)),
		"to":          r.counted(strictyaml.Set(r.Reader, &m.To, maxList, target)),
		"create":      r.Flag(&m.Create),
		"removals":    strictyaml.OneOf(r.Reader, &m.Removals, RemoveOwned, RemoveAll, RemoveNever),
		"adopt":       r.Flag(&m.Adopt),
	}, "name", "from", "to")
	return m
}

func (r *reader) guard(g *Guard) strictyaml.Field {
	section := func(fields strictyaml.Fields) strictyaml.Field {
		return func(n *yaml.Node, path string) { r.Object(n, path, fields) }
	}
	return section(strictyaml.Fields{
		"adopt": strictyaml.OneOf(r.Reader, &g.Adopt, AdoptAsk, AdoptAuto),
		"rules": strictyaml.OneOf(r.Reader, &g.Rules, AdoptAsk, AdoptAuto),
		"run": section(strictyaml.Fields{
			"removals": r.Number(&g.Run.Removals, 0, maxNumber),
			"share":    r.Value(&g.Run.Share),
			"atLeast":  r.Number(&g.Run.AtLeast, 0, maxNumber),
		}),
		"target": section(strictyaml.Fields{
			"removals": r.Number(&g.Target.Removals, 0, maxNumber),
			"share":    r.Value(&g.Target.Share),
			"minimum":  r.Number(&g.Target.Minimum, 0, maxNumber),
		}),
		"lastAccess": section(strictyaml.Fields{"people": r.Number(&g.LastAccess.People, 0, maxNumber)}),
		"window": section(strictyaml.Fields{
			"days":     r.Number(&g.Window.Days, 1, maxDays),
			"removals": r.Number(&g.Window.Removals, 0, maxNumber),
			"share":    r.Value(&g.Window.Share),
		}),
		"source": section(strictyaml.Fields{
			"share":   r.Value(&g.Source.Share),
			"minimum": r.Number(&g.Source.Minimum, 1, maxNumber),
		}),
		"deactivations": section(strictyaml.Fields{
			"people": r.Number(&g.Deactivations.People, 0, maxNumber),
			"share":  r.Value(&g.Deactivations.Share),
		}),
		"unlinked":     section(strictyaml.Fields{"people": r.Number(&g.Unlinked.People, 0, maxNumber)}),
		"secondWriter": section(strictyaml.Fields{"people": r.Number(&g.SecondWriter.People, 0, maxNumber)}),
		"flapping":     r.Number(&g.Flapping, 0, maxNumber),
		"settle":       r.duration(&g.Settle, 0, Duration(maxSettle)),
	})
}

func (r *reader) protected(n *yaml.Node, path string) Protected {
	p := Protected{Minimum: 1}
	r.Object(n, path, strictyaml.Fields{
		"target":  strictyaml.Parsed(r.Reader, &p.Target, protectedTarget),
		"minimum": r.Number(&p.Minimum, 1, maxNumber),
		"always":  r.people(&p.Always),
		"maximum": r.Number(&p.Maximum, 1, maxNumber),
	}, "target")
	return p
}

// protectedTarget reads an entitlement that has a floor.
func protectedTarget(s string) (access.Entitlement, error) {
	e, err := target(s)
	if err == nil && stars(e) > 0 {
		err = errors.New("a protected target is named in full; write one entry for each group")
	}
	return e, err
}

// people reads a list of e-mail addresses and account ids.
func (r *reader) people(into *[]string) strictyaml.Field {
	return strictyaml.Set(r.Reader, into, maxList, strictyaml.Kept(form.CheckPerson))
}

func (r *reader) sync(s *Sync) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		r.Object(n, path, strictyaml.Fields{
			"every":    r.duration(&s.Every, Duration(minEvery), Duration(maxEvery)),
			"feed":     r.duration(&s.Feed, Duration(minFeed), Duration(maxFeed)),
			"inFlight": r.Number(&s.InFlight, 1, maxFlight),
			"pages":    r.Number(&s.Pages, 1, maxPages),
		})
	}
}

// duration reads a duration between two bounds.
func (r *reader) duration(into *Duration, least, most Duration) strictyaml.Field {
	return form.Duration(r.Reader, into, least, most)
}

// counted reads a list and counts its entries against the bound of the whole file.
func (r *reader) counted(read strictyaml.Field) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		within := r.entries <= MaxEntries
		if r.entries += len(n.Content); r.entries <= MaxEntries {
			read(n, path)
		} else if within {
			r.Fail(n, path, "the lists of groups and targets of the file have more than %d entries together; use globs",
				MaxEntries)
		}
	}
}

// glob reads a name or glob of groups.
func glob(s string) (string, error) {
	_, err := form.Compile(s)
	return s, err
}

// target reads an entitlement that a mapping can give.
func target(s string) (access.Entitlement, error) {
	e, err := access.ParseEntitlement(s)
	if err != nil {
		return "", err
	}
	switch kind := e.Kind(); {
	case kind == access.KindGroup:
		return e, form.CheckGroup(e.Group())
	case strings.ContainsAny(s, "*?"):
		return "", fmt.Errorf("%q: only a group target may hold a *", s)
	case kind == access.KindDefault || e == access.OrgAdmin:
		return e, nil
	default:
		return "", fmt.Errorf("%q is not given by mappings; write group:<name>, default:<app>/<site>/<role> or role:org-admin", s)
	}
}

// stars counts the stars of a group target.
func stars(e access.Entitlement) int { return strings.Count(e.Group(), "*") }

// check finds what is wrong between entries that are each right in themselves.
func (r *reader) check(p *Policy) {
	provision.Check(r.Reader, p.Sources, p.Provision)
	r.checkPushSecrets(p)
	r.checkNames(p)
	provision.CheckGroupSyncs(r.Reader, p.Groups, p.Sources, p.Provision, mappingNames(p))
	r.checkStars(p)
	r.checkModes(p)
	r.checkProtected(p)
	r.checkGrants(p)
	r.checkRules(p)
	r.checkReviews(p)
	r.checkMentions(p)
}

func mappingNames(p *Policy) (names []string) {
	for _, m := range p.Mappings {
		names = append(names, m.Name)
	}
	return names
}

// checkPushSecrets refuses a secret with which a source posts to Castellan and which is also for something else:
// whoever has it could do that as well.
func (r *reader) checkPushSecrets(p *Policy) {
	uses := map[string]int{p.Organization.Key: 1}
	for _, one := range p.Provision {
		uses[one.Directory.Key]++
	}
	for _, s := range p.Sources {
		uses[s.Secret]++
	}
	for i, s := range p.Sources {
		if s.Kind.Pushed() && s.Secret != "" && uses[s.Secret] > 1 {
			r.FailAt(fmt.Sprintf("sources[%d].secret", i),
				"something else in this policy has the same secret; make one for this source alone, by openssl rand -base64 32")
		}
	}
}

// checkNames refuses two mappings of one name: reasons are told by it.
func (r *reader) checkNames(p *Policy) {
	first := map[string]int{}
	for i, m := range p.Mappings {
		key := access.Fold(m.Name)
		if before, twice := first[key]; twice && m.Name != "" {
			r.FailAt(fmt.Sprintf("mappings[%d].name", i),
				"the name %q is taken by mappings[%d]; give each mapping its own", m.Name, before)
			continue
		}
		first[key] = i
	}
}

// checkStars refuses a * in a target that no * of the source could stand for.
func (r *reader) checkStars(p *Policy) {
	for i, m := range p.Mappings {
		for _, to := range m.To {
			if stars(to) == 0 {
				continue
			}
			path := r.pathOf(fmt.Sprintf("mappings[%d].to", i), to)
			if stars(to) > 1 {
				r.FailAt(path, "%q holds several *; one stands for what the source's * matched", to)
				continue
			}
			for _, from := range m.From {
				if strings.Count(from, "*") != 1 {
					r.FailAt(path, "the * of %q has nothing to stand for in %q; write from globs with exactly one *, or move the target to a mapping of its own", to, from)
					break
				}
			}
		}
	}
}

// checkModes refuses two mappings that give one target and disagree on what may be taken from it.
func (r *reader) checkModes(p *Policy) {
	first := map[string]int{}
	for i, m := range p.Mappings {
		for _, to := range m.To {
			key := access.Fold(string(to))
			before, given := first[key]
			if !given {
				first[key] = i
				continue
			}
			if other := p.Mappings[before]; other.Removals != m.Removals {
				r.FailAt(r.pathOf(fmt.Sprintf("mappings[%d].to", i), to),
					"%q has removals: %s here and removals: %s in mappings[%d]; say the same in both", to, m.Removals,
					other.Removals, before)
			}
		}
	}
}

// pathOf returns the path of the entry that gives a target in a list of targets.
func (r *reader) pathOf(list string, to access.Entitlement) string {
	for i, n := range r.At(list).Content {
		if e, err := access.ParseEntitlement(n.Value); err == nil && e == to {
			return fmt.Sprintf("%s[%d]", list, i)
		}
	}
	return list
}

// checkProtected refuses two floors for one target, and one that cannot be kept.
func (r *reader) checkProtected(p *Policy) {
	first := map[string]int{}
	for i, entry := range p.Protected {
		key := access.Fold(string(entry.Target))
		if before, twice := first[key]; twice && entry.Target != "" {
			r.FailAt(fmt.Sprintf("protected[%d].target", i),
				"%q is protected already by protected[%d]; make one entry of both", entry.Target, before)
			continue
		}
		first[key] = i
		if entry.Maximum > 0 && entry.Maximum < entry.Minimum {
			r.FailAt(fmt.Sprintf("protected[%d].maximum", i), "%d is less than minimum, %d; write at least that",
				entry.Maximum, entry.Minimum)
		}
	}
}
