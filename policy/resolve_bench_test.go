package policy_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// manyRules are n rules of the kinds that policies have: by group, by domain, by profile, by use, by time in the
// organization.
func manyRules(n int) string {
	var text strings.Builder
	for i := range n {
		when := []string{
			fmt.Sprintf(`in("source-%d") && !external`, i%100),
			fmt.Sprintf(`inAny(["source-%d", "source-%d"]) && department == "Sales"`, i%100, (i+7)%100),
			fmt.Sprintf(`external && domain == "partner-%d.example"`, i),
			fmt.Sprintf(`managed && title == "Engineer %d" && !in("source-%d")`, i, i%100),
			fmt.Sprintf(`inactive("%dd") && !in("source-%d")`, 60+i, i%100),
			fmt.Sprintf(`!managed && addedWithin("%dd")`, 1+i%30),
			fmt.Sprintf(`department == "Support" && location.startsWith("Berlin") && in("source-%d")`, i%100),
			fmt.Sprintf(`in("source-%d") && !in("source-%d") && accountStatus == "active"`, i%100, (i+1)%100),
		}[i%8]
		fmt.Fprintf(&text, "- {name: rule %d, mode: enforce, owner: o@acme.example, when: '%s', deny: ['group:target-%d']%s}\n", i, when, i%50, map[bool]string{true: ", after: 1d"}[i%8 == 4])
	}
	return text.String()
}

func crowd(rules int) (*policy.Bound, func(i int) access.Person) {
	p, err := policy.Parse("acme.yaml",
		[]byte("version: 1\norganization: {name: acme, id: a1, key: 'env:A'}\nmappings:\n"+
			"- {name: m, from: ['source-*'], to: ['group:target-1']}\nrules:\n"+manyRules(rules)))
	if err != nil {
		panic(err)
	}
	o := access.Outline{Domains: []string{"acme.example"},
		Sites: []access.Site{{App: "jira-software", Site: "acme", Resource: jiraSite}}}
	for i := range 100 {
		o.Groups = append(o.Groups, access.Group{ID: fmt.Sprint("s", i), Name: fmt.Sprint("source-", i), Synced: true})
	}
	for i := range 50 {
		o.Groups = append(o.Groups, access.Group{ID: fmt.Sprint("t", i), Name: fmt.Sprint("target-", i),
			Modifiable: true})
	}
	b, _ := policy.Bind(p, o)
	return b, func(i int) access.Person {
		x := access.Person{
			ID: fmt.Sprint("p", i), Email: fmt.Sprintf("p%d@acme.example", i), ClaimStatus: "managed",
			MembershipStatus: "active",
			AccountStatus:    "active", JobTitle: fmt.Sprint("Engineer ", i%300),
			Department: []string{"Sales", "Support", "IT"}[i%3], Location: "Berlin",
			Added: noon.AddDate(0, 0, -i%900),
			GroupIDs: []string{fmt.Sprint("s", i%100), fmt.Sprint("s", i*7%100), fmt.Sprint("s", i*13%100),
				fmt.Sprint("t", i%50)},
			Activity: []access.Activity{{Resource: jiraSite, Last: noon.AddDate(0, 0, -i%300)}},
		}
		if i%10 == 0 {
			x.Email, x.ClaimStatus = fmt.Sprintf("p%d@partner-%d.example", i, i%400), "unmanaged"
		}
		return x
	}
}

// BenchmarkRules decides a person by 200 rules; 100,000 people should take ten seconds at most on one core, which is
// 100 µs each.
func BenchmarkRules(b *testing.B) {
	bound, person := crowd(200)
	people := make([]access.Person, 1000)
	for i := range people {
		people[i] = person(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	answers := 0
	for i := range b.N {
		answers += len(bound.Resolve(people[i%len(people)], policy.Known{Now: noon}).Rules)
	}
	b.StopTimer()
	seconds := b.Elapsed().Seconds()
	b.ReportMetric(float64(b.N)/seconds, "people/s")
	b.ReportMetric(float64(b.N)*200/seconds, "people·rules/s")
	b.ReportMetric(float64(answers)/float64(b.N), "answers/person")
}

// What many people cost is time, never memory.
func TestResolveKeepsNothing(t *testing.T) {
	b, person := crowd(50)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	resolve := func(n int) {
		for i := range n {
			_ = b.Resolve(person(i), policy.Known{Now: noon.Add(time.Duration(i))})
		}
	}
	resolve(1000)
	before := heap()
	resolve(10_000)
	require.Less(t, heap(), before+1<<20)
}
