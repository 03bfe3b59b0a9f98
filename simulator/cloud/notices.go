package cloud

import (
	"encoding/json"
	"fmt"
	"net/http"
)

const (
	mostNotices   = 1000    // older ones are dropped
	largestNotice = 1 << 20 // bytes
)

// postNotice accepts a notice like a webhook's receiver: in demonstrations, /_sim/notices is everybody's mailbox.
func (c *Cloud) postNotice(r *http.Request) (any, error) {
	var notice json.RawMessage
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, largestNotice)).Decode(&notice); err != nil {
		return nil, fmt.Errorf("the notice cannot be read: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notices = append(c.notices, notice)
	c.notices = c.notices[max(0, len(c.notices)-mostNotices):]
	return done, nil
}

// Notices returns the notices sent to /_sim/notices, the oldest first.
func (c *Cloud) Notices() []json.RawMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]json.RawMessage{}, c.notices...)
}
