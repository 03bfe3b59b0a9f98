package cloud

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// Generator describes an organization to generate. The same numbers and the seed of the Cloud give the same
// organization.
type Generator struct {
	People      int   `json:"people"`
	Groups      int   `json:"groups"`      // source groups, exactly
	Memberships int   `json:"memberships"` // in source groups, exactly
	Seed        int64 `json:"seed"`
}

const (
	companyDomain   = "acme.example"
	contractorShare = 12 // one in twelve people is external
	homeShare       = 0.85
)

var outsideDomains = []string{"partner.example", "freelance.example", "consulting.example", "agency.example"}

// SeedGenerated replaces the organization by a generated one: heavy-tailed group sizes, departments, contractors from
// other domains, app accounts and a few foreign members of default groups. The error names the number that is
// impossible.
func (c *Cloud) SeedGenerated(g Generator) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seedGenerated(g, c.options.Sites, c.options.Apps)
}

func (c *Cloud) seedGenerated(g Generator, sites, apps []string) error {
	largest := min(g.People, scimGroupLimit)
	switch {
	case g.People < 1 || g.People > scimUserLimit:
		return fmt.Errorf("people: %d cannot be made; write 1 to %d", g.People, scimUserLimit)
	case g.Groups < 0 || g.Groups > len(departments)*len(teams)*len(places):
		return fmt.Errorf("groups: %d cannot be named; write 0 to %d", g.Groups,
			len(departments)*len(teams)*len(places))
	case g.Memberships < g.Groups || g.Memberships > g.Groups*largest:
		return fmt.Errorf("memberships: %d groups hold between %d and %d of them, not %d", g.Groups, g.Groups,
			g.Groups*largest, g.Memberships)
	}
	c.reset(sites, apps, []string{companyDomain})
	made := &generating{seeding: seeding{c: c, people: make(map[string]*user, g.People)},
		random: rand.New(rand.NewPCG(uint64(g.Seed), 0x0a))}
	if err := made.addPeople(g.People); err != nil {
		return err
	}
	made.addGroups(g.Groups, groupSizes(g.Groups, g.Memberships, largest))
	made.addLocals()
	c.settle()
	return nil
}

type generating struct {
	seeding
	random *rand.Rand
	all    []*user
	staff  [][]*user // by department
}

func (m *generating) addPeople(n int) error {
	m.staff = make([][]*user, len(departments))
	taken := make(map[string]int, n)
	for i := range n {
		first, last := firstNames[m.random.IntN(len(firstNames))], lastNames[m.random.IntN(len(lastNames))]
		domain := companyDomain
		if m.random.IntN(contractorShare) == 0 && i > 0 {
			domain = outsideDomains[m.random.IntN(len(outsideDomains))]
		}
		local := strings.ToLower(first + "." + last)
		if taken[local]++; taken[local] > 1 {
			local += itoa(taken[local])
		}
		u, err := m.person(local+"@"+domain, first+" "+last, local+"@"+domain, true)
		if err != nil {
			return err
		}
		department := m.random.IntN(len(departments))
		u.department, u.title = departments[department].title, titles[m.random.IntN(len(titles))]
		m.staff[department] = append(m.staff[department], u)
		m.all = append(m.all, u)
	}
	admins := make([]string, 0, 8)
	for _, u := range m.all {
		if len(admins) < 3+n/20_000 && u.managed {
			admins = append(admins, u.email)
		}
	}
	return m.admins(admins)
}

// groupSizes follows Zipf's law; the sizes add up exactly.
func groupSizes(groups, memberships, largest int) []int {
	sizes, total := make([]int, groups), 0
	weight := 0.0
	for i := range groups {
		weight += 1 / math.Pow(float64(i+1), 0.9)
	}
	for i := range sizes {
		share := float64(memberships) / weight / math.Pow(float64(i+1), 0.9)
		sizes[i] = min(largest, max(1, int(share)))
		total += sizes[i]
	}
	for i := 0; total != memberships; i = (i + 1) % groups {
		switch {
		case total < memberships && sizes[i] < largest:
			sizes[i]++
			total++
		case total > memberships && sizes[i] > 1:
			sizes[i]--
			total--
		}
	}
	return sizes
}

func (m *generating) addGroups(n int, sizes []int) {
	for i := range n {
		department := i % len(departments)
		rest := i / len(departments)
		name := departments[department].key + "-" + teams[rest%len(teams)]
		if place := places[rest/len(teams)]; place != "" {
			name += "-" + place
		}
		g := m.c.groupSeed(name, true)
		g.members = m.pick(sizes[i], department)
		for _, u := range g.members {
			u.groups = append(u.groups, g)
		}
	}
}

// pick draws people, most of them from the department.
func (m *generating) pick(size, department int) []*user {
	picked, seen := make([]*user, 0, size), make(map[*user]struct{}, size)
	home := m.staff[department]
	take := func(u *user) {
		if _, twice := seen[u]; !twice {
			seen[u] = struct{}{}
			picked = append(picked, u)
		}
	}
	for tries := 0; len(picked) < size && tries < 4*size; tries++ {
		if len(home) > 0 && m.random.Float64() < homeShare {
			take(home[m.random.IntN(len(home))])
		} else {
			take(m.all[m.random.IntN(len(m.all))])
		}
	}
	for at := m.random.IntN(len(m.all)); len(picked) < size; at++ {
		take(m.all[at%len(m.all)])
	}
	return picked
}

// addLocals fills the default groups realistically: with app accounts, and with people whom somebody invited.
func (m *generating) addLocals() {
	for i, r := range m.c.resources {
		users, admins := m.c.byName[r.app+"-users-"+r.site], m.c.byName[r.app+"-admins-"+r.site]
		for _, name := range []string{"Automation for " + r.title, "Slack"} {
			key := name + " " + r.site + " " + itoa(i)
			bot := &user{id: m.c.accountID(key), name: name, nickname: name, app: true,
				email: m.c.stableID("app", key) + "@connect.atlassian.com", added: m.c.born}
			bot.member.now = true
			m.c.appendUser(bot)
			m.put(users, bot)
			m.put(admins, bot)
		}
		for range min(5, 1+len(m.all)/50) {
			m.put(users, m.all[m.random.IntN(len(m.all))])
		}
	}
	slices.SortFunc(m.c.scims[0].groups, func(a, b *scimGroup) int { return strings.Compare(a.name, b.name) })
}
