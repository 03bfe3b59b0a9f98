package messages

import (
	"strings"
	"time"
)

// RestoreInput starts the workflow group-restore:<organization>:<group>, which makes a lost group again as a local one,
// with the app roles and members that its record has. The group is named by the id that it had in the organization.
type RestoreInput struct {
	By   string `json:"by"`
	Note string `json:"note,omitempty"`
	Name string `json:"name,omitempty"` // of the group that is made; default: the name that the lost one had
	// State is carried by continue-as-new; leave it out.
	State *RestoreState `json:"state,omitempty"`
}

// The states of a restore, as shown in CastellanState.
const (
	RestoreReading   = "reading"   // the preview is being made
	RestoreHeld      = "held"      // the preview waits for approval
	RestoreRestoring = "restoring" // group, roles and members are being written and read back
	RestoreStopped   = "stopped"   // the group is not as its record: the differences are named
	RestoreRejected  = "rejected"  // nothing was written, and the loss is not reported any more
	RestoreDone      = "done"      // the group is as its record, but for whom the preview leaves out
)

// RestoreState is the state of a restore, the answer of its status query, and its result.
type RestoreState struct {
	Workflow string    `json:"workflow,omitempty"` // whose state it is
	Org      string    `json:"org"`
	Group    string    `json:"group"` // the id that the lost group had
	State    string    `json:"state"`
	Run      string    `json:"run,omitempty"`    // the run that has the restore's lines
	Policy   string    `json:"policy,omitempty"` // hash of the policy under which the preview was made
	Hold     *Hold     `json:"hold,omitempty"`   // the preview that waits for approval
	By       string    `json:"by,omitempty"`     // who approved it
	Plan     string    `json:"plan,omitempty"`   // hash of the approved preview
	Begun    time.Time `json:"begun,omitzero"`
	Lost     RestoreOf `json:"lost,omitzero"`   // what the record has
	After    string    `json:"after,omitempty"` // the last account of the preview so far
	Read     bool      `json:"read,omitempty"`  // everybody was previewed
	// ReadOnly is why nothing of the restore can be written; empty if it can be.
	ReadOnly string `json:"readOnly,omitempty"`
	// Counts are members by outcome: the Restore… outcomes below.
	Counts []StateCount `json:"counts,omitempty"`
	// ByHand is what no API can restore, each with who has to do it.
	ByHand []string `json:"byHand,omitempty"`
	// Differs are the first differences between the group and its record, Differing their number.
	Differs   []string         `json:"differs,omitempty"`
	Differing int              `json:"differing,omitempty"`
	Tries     int              `json:"tries,omitempty"`   // how often it was read back, or asked for again
	Written   bool             `json:"written,omitempty"` // all is written, but not all of it was read back yet
	Problem   *Problem         `json:"problem,omitempty"`
	Refused   []RefusedMessage `json:"refused,omitempty"`
}

// RestoreOf is what is restored.
type RestoreOf struct {
	Name    string   `json:"name"`             // of the group that is made, or filled
	Was     string   `json:"was,omitempty"`    // the name that the lost group had, if it is another
	Synced  bool     `json:"synced,omitempty"` // an identity provider owned the lost group
	Exists  bool     `json:"exists,omitempty"` // there is a group of the name: only what it lacks is added
	Members int      `json:"members"`          // by the record
	Roles   []string `json:"roles,omitempty"`  // by the record: "user of jira-software/acme"
	// Members and roles are as of this read of the organization.
	Refreshed time.Time `json:"refreshed,omitzero"`
}

// What becomes of a member.
const (
	RestorePending  = "pending"     // to be added
	RestoreAdded    = "added"       // by this restore, and read back
	RestoreAlready  = "already"     // a member before
	RestoreLeftOut  = "left-out"    // the preview says why
	RestoreNotAdded = "not-added"   // refused at the moment of writing, or by Atlassian
	RestoreUnseen   = "not-visible" // added, and not shown by any read yet
)

// RestoreGroupSignal has OrgSync write the approved lines of a restore.
type RestoreGroupSignal struct {
	Group string `json:"group"`
	Run   string `json:"run"`
	Plan  string `json:"plan"`
	By    string `json:"by"` // who approved it
}

// NotInRecords is what no record of a group has: Atlassian shows it to site credentials alone.
const NotInRecords = "permission and notification schemes and project roles in Jira, and space permissions in Confluence, that named the group"

// RecordedGroup is the record of a group.
type RecordedGroup struct {
	ID        string    `json:"id"` // the organization's
	Name      string    `json:"name"`
	Synced    bool      `json:"synced,omitempty"`    // an identity provider owns it
	Directory string    `json:"directory,omitempty"` // the SCIM directory that has it
	SCIM      string    `json:"scim,omitempty"`      // its id there
	Members   int       `json:"members"`
	Roles     []string  `json:"roles,omitempty"`    // "user of jira-software/acme"
	Defaults  []string  `json:"defaults,omitempty"` // roles for which it is a default group
	RolesRead time.Time `json:"rolesRead,omitzero"` // zero: its roles were not read yet
	Refreshed time.Time `json:"refreshed"`
	Lost      time.Time `json:"lost,omitzero"`
	Outcome   string    `json:"outcome,omitempty"` // of a lost group: restored or dismissed, and by whom
	By        string    `json:"by,omitempty"`
	// Doubted is since when reads of its members are not believed: whoever is gone since then still counts.
	Doubted time.Time `json:"doubted,omitzero"`
	// Unexplained: the ledger's chain does not explain the record, so it cannot be restored. Only of a group that is
	// asked about by itself.
	Unexplained bool `json:"unexplained,omitempty"`
}

// RecordedMember is a person who is in a group by its record.
type RecordedMember struct {
	Account string    `json:"account"`
	Address string    `json:"address,omitempty"`
	Since   time.Time `json:"since"`         // the read that showed it first
	Gone    time.Time `json:"gone,omitzero"` // a read since then did not show it, and is not believed
}

const restorePrefix = "group-restore:"

// RestoreID returns the workflow ID of the restore of a group, by the id that the group had.
func RestoreID(org, group string) string { return restorePrefix + org + ":" + idPart(group, "%:") }

// RestoredGroup returns the organization and the group in a workflow ID; ok is false for any other ID.
func RestoredGroup(workflowID string) (org, group string, ok bool) {
	rest, ok := strings.CutPrefix(workflowID, restorePrefix)
	if !ok {
		return "", "", false
	}
	org, group, ok = strings.Cut(rest, ":")
	return org, group, ok && org != "" && group != "" && RestoreID(org, group) == workflowID
}

// RestoreRun returns the id of the run that has a restore's lines.
func RestoreRun(group string, at time.Time) string {
	return "restore-" + group + "-" + at.UTC().Format("20060102-150405.000")
}
