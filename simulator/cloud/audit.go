package cloud

import (
	"fmt"
	"slices"
	"strconv"
)

// actor is who did something: a person, or a named machine.
type actor struct {
	user  *user
	label string // for example SCIM; empty for a person
	token string // label of the key that was used, if any
}

var scimActor = actor{label: "SCIM"}

// event is one line of the audit log.
type event struct {
	at, processed instant
	action        string
	actor         actor
	user          *user
	group         *group
	resource      *resource
	role          string
}

// auditLog is in processing order.
type auditLog struct{ events []event }

// eventAction is an action in event-actions. The vendor publishes no list: the names of public rule sets are used where
// there are any, the others are the simulator's own, so callers have to read event-actions.
type eventAction struct{ id, display, group string }

var eventActions = []eventAction{
	{"user_added_to_group", "Added user to group", "Groups"},
	{"user_removed_from_group", "Removed user from group", "Groups"},
	{"group_created", "Created group", "Groups"},
	{"group_deleted", "Deleted group", "Groups"},
	{"group_granted_role", "Granted app role to group", "App access"},
	{"group_revoked_role", "Revoked app role from group", "App access"},
	{"group_default_role_changed", "Changed default group", "App access"},
	{"user_granted_role", "Granted role to user", "Users"},
	{"user_revoked_role", "Revoked role from user", "Users"},
	{"user_invited", "Invited user", "Users"},
	{"user_created", "Created user", "Users"},
	{"user_access_suspended", "Suspended user access", "Users"},
	{"user_access_restored", "Restored user access", "Users"},
	{"user_removed_from_directory", "Removed user from directory", "Users"},
	{"user_activated", "Activated account", "Managed accounts"},
	{"user_deactivated", "Deactivated account", "Managed accounts"},
	{"twosv_disabled_for_user", "Disabled two-step verification for user", "Managed accounts"},
	{"user_login", "Logged in", "Authentication"},
	{"jira_issue_viewed", "Viewed issue", "Jira"},
}

// record logs a change, after the noise of the settings.
func (c *Cloud) record(e event) {
	c.makeNoise(c.settings.Noise)
	c.log(e)
}

func (c *Cloud) makeNoise(n int) {
	for range n {
		if len(c.users) == 0 {
			return
		}
		e := event{action: "user_login", actor: actor{user: c.users[c.random.IntN(len(c.users))]}}
		if c.random.IntN(2) == 0 && len(c.resources) > 0 {
			e.action, e.resource = "jira_issue_viewed", c.resources[0]
		}
		c.log(e)
	}
}

// log keeps whole milliseconds, which is the API's precision, and an order that never runs backwards.
func (c *Cloud) log(e event) {
	e.at = c.now() / 1e6 * 1e6
	e.processed = e.at + int64(c.settings.EventLag)/1e6*1e6
	if n := len(c.audit.events); n > 0 {
		e.processed = max(e.processed, c.audit.events[n-1].processed)
	}
	c.audit.events = append(c.audit.events, e)
}

// visible returns how many events have been processed by now.
func (l *auditLog) visible(now instant) int {
	at, _ := slices.BinarySearchFunc(l.events, now+1, func(e event, until instant) int {
		if e.processed < until {
			return -1
		}
		return 1
	})
	return at
}

// eventID contains the position, so that no index by ID is needed.
func (c *Cloud) eventID(position int) string {
	return fmt.Sprintf("%08x", position) + c.stableID("event", strconv.Itoa(position))[8:]
}

func (c *Cloud) eventPosition(id string) (int, bool) {
	if len(id) < 8 {
		return 0, false
	}
	position, err := strconv.ParseInt(id[:8], 16, 64)
	if err != nil || int(position) >= c.audit.visible(c.now()) || c.eventID(int(position)) != id {
		return 0, false
	}
	return int(position), true
}

// eventJSON returns the event as the API shows it; the stream adds when it was processed.
func (c *Cloud) eventJSON(position int, base string, stream bool) any {
	e := c.audit.events[position]
	id := c.eventID(position)
	attributes := map[string]any{"time": timestamp(e.at), "action": e.action, "actor": c.actorJSON(e.actor),
		"context": c.contextJSON(e),
		"location": map[string]any{"ip": "192.0.2." + strconv.Itoa(1+position%254), "city": "Sydney",
			"countryName": "Australia"}}
	if stream {
		attributes["processedAt"] = timestamp(e.processed)
	}
	if e.resource != nil {
		host := "https://" + e.resource.site + ".atlassian.net"
		attributes["container"] = []any{map[string]any{"id": e.resource.cloudID, "type": "sites",
			"links":      map[string]any{"alt": host},
			"attributes": map[string]any{"siteName": e.resource.site, "siteHostName": host}}}
	}
	return map[string]any{
		"id": id, "type": "events", "attributes": attributes,
		"links":   map[string]any{"self": base + "/v1/orgs/" + c.info.OrgID + "/events/" + id},
		"message": map[string]any{"content": messageOf(e), "format": "simple"},
	}
}

func (c *Cloud) actorJSON(a actor) map[string]any {
	if a.user == nil {
		return map[string]any{"id": "00000000-0000-4000-8000-" + fmt.Sprintf("%012x", len(a.label)), "name": a.label}
	}
	who := map[string]any{"id": a.user.id, "name": a.user.name, "email": a.user.email,
		"links": map[string]any{"self": "https://api.atlassian.com/users/" + a.user.id + "/manage/profile"}}
	if a.token != "" {
		who["auth"] = map[string]any{"authType": "api-token", "tokenId": c.stableID("token", a.token),
			"tokenLabel": a.token}
	}
	return who
}

func (c *Cloud) contextJSON(e event) []any {
	context := []any{}
	if e.user != nil {
		kind := "atlassian"
		if e.user.app {
			kind = "app"
		}
		context = append(context, map[string]any{"id": e.user.id, "type": "users",
			"attributes": map[string]any{"name": e.user.name, "email": e.user.email, "accountType": kind},
			"links":      map[string]any{"self": "https://api.atlassian.com/users/" + e.user.id + "/manage/profile"}})
	}
	if e.group != nil {
		context = append(context, map[string]any{"id": e.group.id, "type": "groups",
			"attributes": map[string]any{"name": e.group.name},
			"links": map[string]any{"alt": "https://admin.atlassian.com/o/" + c.info.OrgID + "/groups/" +
				e.group.id}})
	}
	if e.role != "" {
		attributes := map[string]any{"name": e.role}
		if e.resource != nil {
			attributes["resource"] = e.resource.ari
		}
		context = append(context, map[string]any{"id": e.role, "type": "roles", "attributes": attributes,
			"links": map[string]any{"alt": "https://admin.atlassian.com/o/" + c.info.OrgID}})
	}
	return context
}

func messageOf(e event) string {
	text := e.action
	for _, action := range eventActions {
		if action.id == e.action {
			text = action.display
		}
	}
	if e.user != nil {
		text += ": " + e.user.name
	}
	if e.group != nil {
		text += " (" + e.group.name + ")"
	}
	return text
}
