package reviewpage_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/links"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/reviewpage"
)

var start = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

// memoryBackend is a Castellan in memory, for one reviewer.
type memoryBackend struct {
	mu      sync.Mutex
	sheet   reviewpage.Sheet // with all items
	revoked map[string]bool
	admits  map[string]int // looks, by the link's id
	err     error          // of everything
	sayErr  error          // of what is said alone
	said    []any          // inputs, in order
	refuse  map[int]string
}

func (d *memoryBackend) Admit(_ context.Context, link links.Link) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.admits == nil {
		d.admits = map[string]int{}
	}
	d.admits[link.ID]++
	if d.err != nil {
		return d.err
	}
	if d.revoked[link.ID] || link.Reviewer != d.sheet.Reviewer || link.Org != d.sheet.Org ||
		link.Review != d.sheet.Review.ID {
		return reviewpage.ErrLinkInvalid
	}
	return nil
}

func (d *memoryBackend) Sheet(_ context.Context, _ links.Link, q reviewpage.Query) (reviewpage.Sheet, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sheet
	s.Items, s.Total, s.Decided = nil, len(d.sheet.Items), 0
	for _, row := range d.sheet.Items {
		if row.Mine != "" {
			s.Decided++
		}
		if row.N <= q.After || q.Undecided && row.Mine != "" {
			continue
		}
		if len(s.Items) == q.Limit {
			s.Next = s.Items[q.Limit-1].N
			continue
		}
		s.Items = append(s.Items, row)
	}
	return s, d.err
}

// take notes what was said, and has each of the items changed.
func (d *memoryBackend) take(in any, items []int, change func(*reviewpage.Row) bool,
	done string) (answer messages.ReviewAnswer,
	err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said = append(d.said, in)
	if d.sayErr != nil {
		return answer, d.sayErr
	}
	rows := d.sheet.Items[:0]
	for _, row := range d.sheet.Items {
		stays := true
		if slices.Contains(items, row.N) {
			if why := d.refuse[row.N]; why != "" {
				answer.Refused, answer.Declined = append(answer.Refused, messages.RefusedItem{Item: row.N, Why: why}),
					answer.Declined+1
			} else {
				stays = change(&row)
				answer.Applied++
			}
		}
		if stays {
			rows = append(rows, row)
		}
	}
	d.sheet.Items = rows
	answer.Message = fmt.Sprintf("%s: %d.", done, answer.Applied)
	return answer, nil
}

func (d *memoryBackend) matching(items []int, all *messages.ItemFilter) []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if all == nil {
		return items
	}
	for _, row := range d.sheet.Items {
		if (!all.Undecided || row.Mine == "") && (all.Recommend == "" || row.Recommend == all.Recommend) {
			items = append(items, row.N)
		}
	}
	return items
}

func (d *memoryBackend) Decide(_ context.Context, _ links.Link,
	in messages.DecideInput) (messages.ReviewAnswer, error) {
	items, lines := d.matching(in.Items, in.All), make(map[int]messages.DecideLine)
	for _, line := range in.Lines {
		items = append(items, line.Item)
		lines[line.Item] = line
	}
	return d.take(in, items, func(row *reviewpage.Row) bool {
		row.Mine, row.MyComment, row.Version = in.Verdict, in.Comment, row.Version+1
		if line, ok := lines[row.N]; ok {
			row.Mine, row.MyComment = line.Verdict, line.Comment
		}
		return true
	}, "Saved")
}

func (d *memoryBackend) Delegate(_ context.Context, _ links.Link,
	in messages.DelegateInput) (messages.ReviewAnswer, error) {
	return d.take(in, d.matching(in.Items, in.All), func(*reviewpage.Row) bool { return false }, "Handed on")
}

func (d *memoryBackend) Comment(_ context.Context, _ links.Link,
	in messages.CommentInput) (messages.ReviewAnswer, error) {
	return d.take(in, []int{in.Item}, func(row *reviewpage.Row) bool { row.MyComment = in.Comment; return true },
		"Commented")
}

func (d *memoryBackend) Reopen(_ context.Context, _ links.Link,
	in messages.ReopenInput) (messages.ReviewAnswer, error) {
	return d.take(in, d.matching(in.Items, in.All), func(row *reviewpage.Row) bool { row.Mine = ""; return true },
		"Taken back")
}

// heard returns what was said to the backend so far.
func (d *memoryBackend) heard() []any {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.said)
}

// set changes the backend.
func (d *memoryBackend) set(change func(*memoryBackend)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

// row returns the backend's item.
func (d *memoryBackend) row(n int) (found reviewpage.Row) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, row := range d.sheet.Items {
		if row.N == n {
			found = row
		}
	}
	return found
}

// testPage is a page before a backend.
type testPage struct {
	*memoryBackend
	t      *testing.T
	page   http.Handler
	signer *links.Signer
	base   *url.URL
	logs   *observer.ObservedLogs
	clock  struct {
		sync.Mutex
		at time.Time
	}
}

func newTestPage(t *testing.T, base string, items int) *testPage {
	t.Helper()
	p := &testPage{t: t, memoryBackend: &memoryBackend{sheet: sampleSheet(items), revoked: make(map[string]bool),
		refuse: make(map[int]string)}}
	p.clock.at = start
	var err error
	p.base, err = url.Parse(base)
	require.NoError(t, err)
	p.signer, err = links.NewSigner([]byte("hunter2-0123456789-0123456789-01"))
	require.NoError(t, err)
	core, logs := observer.New(zapcore.DebugLevel)
	p.logs = logs
	p.page = reviewpage.New(reviewpage.Options{Backend: p.memoryBackend, Signer: p.signer, Base: p.base, Now: p.now,
		Log: zap.New(core)})
	return p
}

func (p *testPage) now() time.Time {
	p.clock.Lock()
	defer p.clock.Unlock()
	return p.clock.at
}

func (p *testPage) wait(d time.Duration) {
	p.clock.Lock()
	defer p.clock.Unlock()
	p.clock.at = p.clock.at.Add(d)
}

func (p *testPage) link() links.Link {
	return links.Link{ID: "LINK-1", Org: "acme", Review: "admins:2026-11-22", Reviewer: "mia@acme.example",
		Expires: start.Add(72 * time.Hour)}
}

func (p *testPage) token() string { return p.signer.Token(p.link()) }

// do asks the page.
func (p *testPage) do(r *http.Request) *httptest.ResponseRecorder {
	out := httptest.NewRecorder()
	p.page.ServeHTTP(out, r)
	return out
}

// get asks as a browser that has entered by the token.
func (p *testPage) get(path, token string) *httptest.ResponseRecorder {
	return p.do(p.request(http.MethodGet, path, token, nil))
}

func (p *testPage) request(method, path, token string, form url.Values) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	if token != "" {
		r.AddCookie(&http.Cookie{Name: p.cookie("link"), Value: token})
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", p.base.Scheme+"://"+p.base.Host)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	return r
}

func (p *testPage) cookie(name string) string {
	if p.base.Scheme == "https" {
		return "__Secure-castellan-" + name
	}
	return "castellan-" + name
}

// fields returns the fields of the list's form, as the page at the path has them, with some filled in.
func (p *testPage) fields(path string, fill map[string]string) url.Values {
	p.t.Helper()
	form := url.Values{}
	for _, input := range read(p.t, p.get(path, p.token()).Body.String()).id("sheet").all("input") {
		if input.attrs["type"] == "hidden" || input.attrs["checked"] != "" {
			form.Set(input.attrs["name"], input.attrs["value"])
		}
	}
	for _, area := range read(p.t, p.get(path, p.token()).Body.String()).id("sheet").all("textarea") {
		form.Set(area.attrs["name"], area.words)
	}
	for name, value := range fill {
		form.Set(name, value)
	}
	return form
}

// post sends a form of the page and gives the answer.
func (p *testPage) post(path string, form url.Values) *httptest.ResponseRecorder {
	p.t.Helper()
	return p.do(p.request(http.MethodPost, path, p.token(), form))
}

// follow goes where an answer leads, with the cookies that it set.
func (p *testPage) follow(answer *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	p.t.Helper()
	require.Equal(p.t, http.StatusSeeOther, answer.Code, answer.Body)
	path, _, _ := strings.Cut(answer.Header().Get("Location"), "#")
	r := p.request(http.MethodGet, path, p.token(), nil)
	for _, cookie := range answer.Result().Cookies() {
		r.AddCookie(cookie)
	}
	return p.do(r)
}

var errLedger = errors.New("the ledger is away")

func yes(b bool) *bool { return &b }

// sampleSheet has items of every kind, again and again.
func sampleSheet(items int) reviewpage.Sheet {
	day := func(month time.Month, d int) time.Time { return time.Date(2026, month, d, 8, 0, 0, 0, time.UTC) }
	kinds := []access.Item{
		{
			Person: "5b1", Email: "olu@contractor.example", Name: "Olu Adeyemi", Status: "active", External: yes(true),
			Sponsor: "bo@acme.example",
			Sources: []string{"contractors"}, Target: access.OrgAdmin,
			Since: day(time.March, 12), Peers: &access.Peers{Group: "contractors", Of: 14, Hold: 0},
			Recommend: access.VerdictRemove,
			Because:   "nobody else in contractors holds it, and it was added by hand", Risk: 92,
			Risks: []string{"organization admin", "external", "nothing in the policy explains it"},
		},
		{
			Person: "5b2", Email: "ana@acme.example", Name: "Ana López", Status: "active", External: yes(false),
			Sources: []string{"acme-all", "eng-platform", "eng-all"},
			Target:  "group:jira-admins-acme", Opens: []string{"jira-software/acme", "confluence/acme"}, Owned: true,
			Reasons: []access.Reason{{Kind: access.ReasonMapping, Name: "platform-admins", Source: "eng-platform"},
				{Kind: access.ReasonGrant, Name: "INC-4711"}},
			Since: day(time.January, 7), Peers: &access.Peers{Group: "eng-platform", Of: 9, Hold: 7},
			Recommend: access.VerdictKeep, Because: "7 of 9 others in eng-platform hold it",
			Uses: []access.Use{{App: "jira-software/acme", Last: day(time.November, 19)}, {App: "confluence/acme"}},
			Risk: 55, Before: &access.PastDecision{Review: "admins:2026-08-22", Verdict: access.VerdictKeep,
				By: "mia@acme.example", At: day(time.August, 25)},
		},
		{
			Person: "5b3", Email: "tom@acme.example", Name: "Tom Weiß", Status: "suspended",
			Target: "group:service-desk-agents",
			Opens:  []string{"jira-servicedesk/acme"}, Uses: []access.Use{{App: "jira-servicedesk/acme", Never: true}},
			Recommend: access.VerdictRemove,
			Because:   "the account is suspended and the app was never used", Risk: 40,
		},
		{
			Person: "5b4", Email: "yuki@acme.example", Name: "Yuki Tanaka", Status: "active", External: yes(false),
			Target: "role:confluence/acme/admin", Owned: true,
			Reasons: []access.Reason{{Kind: access.ReasonRule, Name: "docs-leads"}}, Opens: []string{"confluence/acme"},
			Since: day(time.October, 1),
			Uses:  []access.Use{{App: "confluence/acme", Last: day(time.November, 21)}},
			Peers: &access.Peers{Group: "docs", Of: 1, Hold: 1}, Risk: 18,
		},
	}
	s := reviewpage.Sheet{
		Review: access.Review{
			ID: "admins:2026-11-22", Campaign: "Admins, every quarter", State: access.ReviewOpen,
			Owner:  "sec@acme.example",
			Opened: start.Add(-time.Hour), Stage: 1, Stages: 2, Due: start.Add(8*24*time.Hour + 90*time.Minute),
		},
		Org: "acme", Reviewer: "mia@acme.example", Open: true,
		About: "Who administers what? Keep what the work needs, remove the rest: whoever misses something can ask for it again.",
	}
	for n := 1; n <= items; n++ {
		item := kinds[(n-1)%len(kinds)]
		item.N = n
		row := reviewpage.Row{Item: item}
		if n == 2 {
			row.Others = []access.ItemDecision{{Stage: 1, By: "bo@acme.example", Verdict: access.VerdictRemove,
				Comment: "changed teams in May", At: start.Add(-20 * time.Minute)}}
		}
		s.Items = append(s.Items, row)
	}
	return s
}
