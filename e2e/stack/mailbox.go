package stack

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"

	"github.com/castellan-io/castellan/messages"
)

// Mailbox is where a worker's notices arrive: a signed webhook on this machine.
type Mailbox struct {
	*httptest.Server
	mu   sync.Mutex
	came []messages.Notice
	tell func(messages.Notice)
}

const mailSecret = "correct horse battery staple"

// OpenMailbox opens one. Close it.
func OpenMailbox() *Mailbox {
	m := &Mailbox{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		var n messages.Notice
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if slices.ContainsFunc(m.came,
			func(before messages.Notice) bool { return before.ID == n.ID && before.To == n.To }) {
			return // a repeat
		}
		m.came = append(m.came, n)
		if m.tell != nil {
			m.tell(n)
		}
	}))
	return m
}

// Watch has a function called with every notice that comes from now on.
func (m *Mailbox) Watch(tell func(messages.Notice)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tell = tell
}

// Env has a worker send its notices here.
func (m *Mailbox) Env() []string {
	return []string{"CASTELLAN_NOTIFY_WEBHOOK_URL=" + m.URL, "CASTELLAN_NOTIFY_WEBHOOK_SECRET=" + mailSecret}
}

// Of returns the notices of a kind to somebody, in the order in which they came; to "": those to whoever watches.
func (m *Mailbox) Of(kind, to string) (all []messages.Notice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.came {
		if n.Kind == kind && n.To == to {
			all = append(all, n)
		}
	}
	return all
}
