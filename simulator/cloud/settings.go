package cloud

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// KeyState is what an organization API key may do.
type KeyState string

// The states of a key.
const (
	KeyValid    KeyState = "valid"
	KeyExpired  KeyState = "expired"  // 401
	KeyReadOnly KeyState = "readonly" // 403 on every write
	KeyOtherOrg KeyState = "otherOrg" // a good key of another organization: 403 with ADMIN-403-3
	KeyScoped   KeyState = "scoped"   // a key with every scope: 403 on operations for which no scope exists
)

// How a 429 says when to come back, besides its X-RateLimit-Reset header.
const (
	RetryAfterNone    = "none"
	RetryAfterSeconds = "seconds"
	RetryAfterDate    = "date" // an HTTP date
)

// What becomes of a SCIM group that has the name of a local group.
const (
	ConflictsHeld    = "held"
	ConflictsRefused = "refused"
)

// Settings can be changed while the simulator runs, through POST /_sim/settings: fields missing in a body stay, maps
// are merged.
type Settings struct {
	Latency Duration `json:"latency"` // before every response
	Lag     Duration `json:"lag"`     // until a write of groups, memberships or directory status shows in reads
	// until a direct role shows in reads; the vendor says up to 30 s
	RoleLag  Duration `json:"roleLag"`
	EventLag Duration `json:"eventLag"` // until an audit event shows
	SCIMLag  Duration `json:"scimLag"`  // until a write of a SCIM record shows in SCIM's own reads

	Guard bool `json:"guard"` // Atlassian Guard: without it the audit log responds 403
	// GuardLapsed is a subscription that ended: the audit log and SCIM respond 403. What was provisioned stays as it
	// is, locked as it was, and domains stay claimed.
	GuardLapsed bool `json:"guardLapsed"`

	Keys    map[string]KeyState `json:"keys"`    // organization API keys
	SCIMKey KeyState            `json:"scimKey"` // state of the first SCIM directory's first key: valid or expired

	Limits bool `json:"limits"` // whether rate limits refuse calls; the headers are always sent
	// by operation, "*" for all others; all calls of SCIM together are "scim", without limit if it is absent
	RatePerMinute map[string]int `json:"ratePerMinute"`
	RetryAfter    string         `json:"retryAfter"` // none, seconds or date
	// seats by app/site, for example jira/acme; absent or negative: no limit
	Licences map[string]int `json:"licences"`

	// 1..100: maximum page of v2 reads and of last-active-dates, whatever the caller asks for; 0: no limit
	MaxPage       int  `json:"maxPage"`
	SCIMPage      int  `json:"scimPage"`      // 1..100: maximum page of SCIM lists; 0: 100
	URLCursors    bool `json:"urlCursors"`    // v2 links.next as a URL instead of a bare cursor
	PlainGroupIDs bool `json:"plainGroupIds"` // groups[].id of users as UUID instead of the ARI of the vendor's example
	AppAccounts   bool `json:"appAccounts"`   // show accountType app, which the vendor's v2 schema does not declare
	// leave counts.resources out of groups, even if requested: no response has to have it
	NoCounts      bool `json:"noCounts"`
	SyncedRefusal int  `json:"syncedRefusal"` // status for writing to a synced group: 403 or 400
	AbsentRemoval int  `json:"absentRemoval"` // status for removing a non-member: 404 or 204
	// what becomes of a SCIM group with the name of a local group: held (until a person accepts it) or refused (409)
	GroupConflicts string `json:"groupConflicts"`
	SCIMMembers    int    `json:"scimMembers"` // most members that one request of SCIM may name; 0: no limit
	Noise          int    `json:"noise"`       // log-ins and page views that are logged before each change

	// StuckReactivations: somebody whom SCIM reactivates is in all groups again and has no access to any app, until
	// they are added to a group or given a role anew (ID-7848).
	StuckReactivations bool `json:"stuckReactivations"`
	// NoExternalIDs: the externalId of a SCIM record is not stored, which the vendor's file calls read-only.
	NoExternalIDs bool `json:"noExternalIds"`

	// ActivityGaps is the share, 0 to 1, of the entries of an expanded productAccess without a lastActiveTimestamp
	// although last-active-dates has the date: always the same entries. The vendor does not promise that the expanded
	// read is complete.
	ActivityGaps float64 `json:"activityGaps"`
}

// DefaultSettings returns those of a quiet, centralized organization with Guard.
func DefaultSettings() Settings {
	return Settings{
		Guard:   true,
		Keys:    map[string]KeyState{},
		SCIMKey: KeyValid,
		// events and events-stream: the vendor's figures per path; last-active-dates: per organization. No other figure
		// is published.
		RatePerMinute: map[string]int{"*": 1000, "events.stream": 50, "events.list": 10, "events.get": 10,
			"event-actions.list": 10, "last-active.get": 200},
		RetryAfter:    RetryAfterSeconds,
		Licences:      map[string]int{},
		SyncedRefusal: http.StatusForbidden,
		AbsentRemoval: http.StatusNotFound, GroupConflicts: ConflictsHeld,
	}
}

func (s Settings) clone() Settings {
	s.Keys = maps.Clone(s.Keys)
	s.RatePerMinute = maps.Clone(s.RatePerMinute)
	s.Licences = maps.Clone(s.Licences)
	return s
}

// Validate returns an error for an impossible setting.
func (s Settings) Validate() error {
	states := []KeyState{KeyValid, KeyExpired, KeyReadOnly, KeyOtherOrg, KeyScoped}
	for _, state := range s.Keys {
		if !slices.Contains(states, state) {
			return fmt.Errorf("keys: state %q is unknown; write one of %v", state, states)
		}
	}
	if !slices.Contains([]string{RetryAfterNone, RetryAfterSeconds, RetryAfterDate}, s.RetryAfter) {
		return fmt.Errorf("retryAfter %q: write none, seconds or date", s.RetryAfter)
	}
	if s.SyncedRefusal != http.StatusForbidden && s.SyncedRefusal != http.StatusBadRequest {
		return fmt.Errorf("syncedRefusal %d: write 403 or 400", s.SyncedRefusal)
	}
	if s.AbsentRemoval != http.StatusNotFound && s.AbsentRemoval != http.StatusNoContent {
		return fmt.Errorf("absentRemoval %d: write 404 or 204", s.AbsentRemoval)
	}
	if s.GroupConflicts != ConflictsHeld && s.GroupConflicts != ConflictsRefused {
		return fmt.Errorf("groupConflicts %q: write held or refused", s.GroupConflicts)
	}
	if s.SCIMMembers < 0 {
		return fmt.Errorf("scimMembers must not be negative")
	}
	if s.MaxPage < 0 || s.MaxPage > 100 {
		return fmt.Errorf("maxPage %d: write 0 to 100", s.MaxPage)
	}
	if s.SCIMPage < 0 || s.SCIMPage > scimPage {
		return fmt.Errorf("scimPage %d: write 0 to %d", s.SCIMPage, scimPage)
	}
	if s.ActivityGaps < 0 || s.ActivityGaps > 1 {
		return fmt.Errorf("activityGaps %v: write a share from 0 to 1", s.ActivityGaps)
	}
	if min(s.Latency, s.Lag, s.RoleLag, s.EventLag, s.SCIMLag) < 0 {
		return fmt.Errorf("latency, lag, roleLag, eventLag and scimLag must not be negative")
	}
	for name, rate := range s.RatePerMinute {
		if rate < 1 {
			return fmt.Errorf("ratePerMinute of %s is %d: write 1 or more", name, rate)
		}
	}
	return nil
}

// Duration is a time.Duration that JSON writes as "1m30s".
type Duration time.Duration

// MarshalJSON writes the duration as a string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads a string such as "250ms".
func (d *Duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("duration %s: write it as a string, for example \"250ms\"", b)
	}
	parsed, err := time.ParseDuration(text)
	if err != nil || parsed < 0 {
		return fmt.Errorf("duration %q: write it like \"250ms\" or \"2s\", not negative", text)
	}
	*d = Duration(parsed)
	return nil
}
