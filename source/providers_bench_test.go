package source_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/simulator/idp"
	"github.com/castellan-io/castellan/source"
)

// inProcess is a transport without a network, so that all that waits is the clock.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	p.handler.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// TestProvidersTakeAsLongAsTheirPages reads in a clock that runs only while everything waits: the pages of people come
// one after the other, those of members four at a time, and nothing waits beside.
func TestProvidersTakeAsLongAsTheirPages(t *testing.T) {
	const latency, people = 50 * time.Millisecond, 2000
	sizes := make([]int, 20)
	for i := range sizes {
		sizes[i] = 250
	}
	key()
	for _, p := range providers {
		synctest.Test(t, func(t *testing.T) {
			d := idp.New(idp.Options{Key: &key().PublicKey, Latency: latency})
			d.Generate(people, sizes...)
			<-time.After(time.Hour) // or Okta's list of what changed meanwhile would hold everybody
			s := p.open(t, "http://127.0.0.1", settings{http: &http.Client{Transport: inProcess{p.handler(d)}}})
			started := time.Now()
			got, err := read(t.Context(), s)
			require.NoError(t, err)
			require.Len(t, got.people, people)
			pages := pagesOf(d.Calls())
			ratio := float64(time.Since(started)) / (pages * float64(latency))
			t.Logf("%s: %.3f of the time of %.1f pages", p.name, ratio, pages)
			require.Less(t, ratio, 1.1, p.name)
			require.Less(t, pages, float64(people/p.people+14+2*len(sizes)/4), p.name)
		})
	}
}

// pagesOf counts calls: those for members as a quarter, because four are in flight.
func pagesOf(calls []string) float64 {
	members := 0
	for _, call := range calls {
		if strings.Contains(call, "4000-9000") {
			members++
		}
	}
	return float64(len(calls)-members) + float64(members)/4
}

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
				all := d.Calls()[calls:]
				pages := pagesOf(all)
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
