package source_test

import (
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/castellan-io/castellan/simulator/idp"
	"github.com/castellan-io/castellan/source"
)

// BenchmarkProviders reads 100,000 people and 200 groups of 250 from each fake, which takes 50 ms for an answer. It
// reports the time in pages: 1 is what the pages alone take if those of people and groups come one after the other, and
// those of members four at a time. "readerMB" is what the reader holds when everybody was shown.
func BenchmarkProviders(b *testing.B) {
	const latency, people = 50 * time.Millisecond, 100000
	sizes := make([]int, 200)
	for i := range sizes {
		sizes[i] = 250
	}
	for _, p := range providers {
		if strings.Contains(p.name, " by ") {
			continue
		}
		b.Run(p.name, func(b *testing.B) {
			made := false // everybody an hour ago, or Okta's list of what changed meanwhile would hold them
			now := func() time.Time {
				if made {
					return time.Now()
				}
				return time.Now().Add(-time.Hour)
			}
			d := idp.New(idp.Options{Key: &key().PublicKey, Latency: latency, Now: now})
			d.Generate(people, sizes...)
			made = true
			server := httptest.NewServer(p.handler(d))
			defer server.Close()
			t := &testing.T{}
			reader := p.open(t, server.URL, settings{})
			for b.Loop() {
				before, shown, held := heap(), 0, uint64(0)
				calls := len(d.Calls())
				started := time.Now()
				var measured time.Duration
				proof, err := reader.Read(b.Context(), func(page source.Page) error {
					if shown += len(page.People); shown == people && held == 0 {
						paused := time.Now()
						held = heap() - min(before, heap())
						measured = time.Since(paused)
					}
					return nil
				})
				taken := time.Since(started) - measured
				if err != nil || proof.People != people || proof.Memberships != 200*250 {
					b.Fatal(proof, err)
				}
				members, all := 0, d.Calls()[calls:]
				for _, call := range all {
					if strings.Contains(call, "4000-9000") {
						members++
					}
				}
				pages := float64(len(all)-members) + float64(members)/4
				b.ReportMetric(float64(taken)/(pages*float64(latency)), "time/pages")
				b.ReportMetric(float64(len(all)), "calls")
				b.ReportMetric(float64(held)/(1<<20), "readerMB")
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
