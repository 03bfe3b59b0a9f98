package policy

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/access"
)

// policy reads the file's top level.
func (r *reader) policy(n *yaml.Node) *Policy {
	p := &Policy{Guard: DefaultGuard(), Sync: DefaultSync()}
	r.object(n, "", map[string]field{
		"version":      r.number(&p.Version, 1, 1),
		"organization": r.organization(&p.Organization),
		"mappings": r.list(MaxMappings, func(n *yaml.Node, path string) {
			p.Mappings = append(p.Mappings, r.mapping(n, path))
		}),
		"guard": r.guard(&p.Guard),
		"protected": r.list(maxList, func(n *yaml.Node, path string) {
			p.Protected = append(p.Protected, r.protected(n, path))
		}),
		"grants": r.list(maxGrants, func(n *yaml.Node, path string) {
			p.Grants = append(p.Grants, r.grantable(n, path))
		}),
		"rules": r.list(maxRules, func(n *yaml.Node, path string) {
			p.Rules = append(p.Rules, r.rule(n, path))
		}),
		"reviews": r.list(maxReviews, func(n *yaml.Node, path string) {
			p.Reviews = append(p.Reviews, r.review(n, path))
		}),
		"governance": section(&p.Governance, r.governance),
		"sync":       r.sync(&p.Sync),
		"dryRun":     r.flag(&p.DryRun),
		"ignore":     set(r, &p.Ignore, maxList, glob),
	}, "version", "organization", "mappings")
	return p
}

func (r *reader) organization(o *Organization) field {
	return func(n *yaml.Node, path string) {
		r.object(n, path, map[string]field{
			"name":       r.checked(&o.Name, shortName),
			"id":         r.checked(&o.ID, vendorID),
			"directory":  r.checked(&o.Directory, vendorID),
			"key":        r.secret(&o.Key),
			"keyOwner":   r.checked(&o.KeyOwner, personName),
			"keyExpires": r.value(&o.KeyExpires),
			"domains":    set(r, &o.Domains, maxList, emailDomain),
		}, "name", "id", "key")
	}
}

func (r *reader) mapping(n *yaml.Node, path string) Mapping {
	m := Mapping{Removals: RemoveOwned}
	r.object(n, path, map[string]field{
		"name":        r.checked(&m.Name, entryName),
		"description": r.text(&m.Description),
		"owner":       r.text(&m.Owner),
		"from":        r.counted(set(r, &m.From, maxList, glob)),
		"except":      r.counted(set(r, &m.Except, maxList, glob)),
		"to":          r.counted(set(r, &m.To, maxList, target)),
		"create":      r.flag(&m.Create),
		"removals":    oneOf(r, &m.Removals, RemoveOwned, RemoveAll, RemoveNever),
		"adopt":       r.flag(&m.Adopt),
	}, "name", "from", "to")
	return m
}

func (r *reader) guard(g *Guard) field {
	section := func(fields map[string]field) field {
		return func(n *yaml.Node, path string) { r.object(n, path, fields) }
	}
	return section(map[string]field{
		"adopt": oneOf(r, &g.Adopt, AdoptAsk, AdoptAuto),
		"rules": oneOf(r, &g.Rules, AdoptAsk, AdoptAuto),
		"run": section(map[string]field{
			"removals": r.number(&g.Run.Removals, 0, maxNumber),
			"share":    r.value(&g.Run.Share),
			"atLeast":  r.number(&g.Run.AtLeast, 0, maxNumber),
		}),
		"target": section(map[string]field{
			"removals": r.number(&g.Target.Removals, 0, maxNumber),
			"share":    r.value(&g.Target.Share),
			"minimum":  r.number(&g.Target.Minimum, 0, maxNumber),
		}),
		"lastAccess": section(map[string]field{"people": r.number(&g.LastAccess.People, 0, maxNumber)}),
		"window": section(map[string]field{
			"days":     r.number(&g.Window.Days, 1, maxDays),
			"removals": r.number(&g.Window.Removals, 0, maxNumber),
			"share":    r.value(&g.Window.Share),
		}),
		"source": section(map[string]field{
			"share":   r.value(&g.Source.Share),
			"minimum": r.number(&g.Source.Minimum, 1, maxNumber),
		}),
		"flapping": r.number(&g.Flapping, 0, maxNumber),
		"settle":   r.duration(&g.Settle, 0, Duration(maxSettle)),
	})
}

func (r *reader) protected(n *yaml.Node, path string) Protected {
	p := Protected{Minimum: 1}
	r.object(n, path, map[string]field{
		"target": func(n *yaml.Node, path string) {
			s, ok := r.scalar(n, path)
			if !ok {
				return
			}
			t, err := target(s)
			if err == nil && stars(t) > 0 {
				err = errors.New("a protected target is named in full; write one entry for each group")
			}
			if err != nil {
				r.fail(n, path, "%s", err)
				return
			}
			p.Target = t
		},
		"minimum": r.number(&p.Minimum, 1, maxNumber),
		"always":  r.people(&p.Always),
		"maximum": r.number(&p.Maximum, 1, maxNumber),
	}, "target")
	return p
}

// people reads a list of e-mail addresses and account ids.
func (r *reader) people(into *[]string) field {
	return set(r, into, maxList, func(s string) (string, error) { return s, personName(s) })
}

func (r *reader) sync(s *Sync) field {
	return func(n *yaml.Node, path string) {
		r.object(n, path, map[string]field{
			"every":    r.duration(&s.Every, Duration(minEvery), Duration(maxEvery)),
			"feed":     r.duration(&s.Feed, Duration(minFeed), Duration(maxFeed)),
			"inFlight": r.number(&s.InFlight, 1, maxFlight),
			"pages":    r.number(&s.Pages, 1, maxPages),
		})
	}
}

// counted reads a list and counts its entries against the bound of the whole file.
func (r *reader) counted(read field) field {
	return func(n *yaml.Node, path string) {
		within := r.entries <= MaxEntries
		if r.entries += len(n.Content); r.entries <= MaxEntries {
			read(n, path)
		} else if within {
			r.fail(n, path, "the lists of groups and targets of the file have more than %d entries together; use globs",
				MaxEntries)
		}
	}
}

var (
	envReference = regexp.MustCompile(`^env:[A-Za-z_][A-Za-z0-9_]{0,199}$`)
	shortForm    = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	vendorForm   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
	emailForm    = regexp.MustCompile(`^[^@\s]{1,64}@[^@\s]{1,190}$`)
	domainForm   = regexp.MustCompile(`^[\pL\pM\pN-]{1,63}(\.[\pL\pM\pN-]{1,63}){1,9}$`)
	accountForm  = regexp.MustCompile(`^[A-Za-z0-9:-]{8,128}$`)
)

// secret reads a reference to a secret. What stands there may be the secret itself, so no error repeats it.
func (r *reader) secret(into *string) field {
	return func(n *yaml.Node, where string) {
		file, isFile := strings.CutPrefix(n.Value, "file:")
		isFile = isFile && path.IsAbs(file) && path.Clean(file) == file && file != "/" && len(file) <= 1000
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && (envReference.MatchString(n.Value) || isFile) {
			if s, ok := r.scalar(n, where); ok {
				*into = s
			}
			return
		}
		r.fail(n, where, "this is not a reference to a secret; write env:NAME or file:/path, and if a key stood here, make a new one, since it may have been seen")
	}
}

func shortName(s string) error {
	if !shortForm.MatchString(s) {
		return fmt.Errorf("%q does not fit; use 1 to 40 of the characters a-z, 0-9 and -", shown(s))
	}
	return nil
}

func vendorID(s string) error {
	if !vendorForm.MatchString(s) {
		return fmt.Errorf("%q is not an Atlassian id; copy it from admin.atlassian.com", shown(s))
	}
	return nil
}

func entryName(s string) error {
	if strings.TrimSpace(s) != s || s == "" || len(s) > 100 || strings.ContainsAny(s, "\n\t") {
		return fmt.Errorf("%q does not fit; give the entry a name of 1 to 100 characters in one line", shown(s))
	}
	return nil
}

func emailDomain(s string) (string, error) {
	s = strings.TrimSuffix(s, ".") // as zone files write it
	if !domainForm.MatchString(s) {
		return "", fmt.Errorf("%q is not an e-mail domain; write the part after the @, for example acme.example",
			shown(s))
	}
	return strings.ToLower(s), nil
}

func personName(s string) error {
	if !emailForm.MatchString(s) && !accountForm.MatchString(s) {
		return fmt.Errorf("%q names nobody; write an e-mail address or an Atlassian account id", shown(s))
	}
	return nil
}

// glob reads a name or glob of groups.
func glob(s string) (string, error) {
	_, err := compile(s)
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
		return e, groupName(e.Group())
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
