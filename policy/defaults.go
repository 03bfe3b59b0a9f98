package policy

import (
	"time"

	"github.com/castellan-io/castellan/policy/window"
)

// DefaultGuard returns the guard of a policy file that sets none of its limits.
func DefaultGuard() Guard {
	return Guard{
		Adopt:         AdoptAsk,
		Rules:         AdoptAsk,
		Run:           RunLimit{Removals: 100, Share: 10 * Percent, AtLeast: 5},
		Target:        TargetLimit{Removals: 50, Share: 20 * Percent, Minimum: 10},
		LastAccess:    LastAccessLimit{People: 25},
		Window:        WindowLimit{Days: 7, Removals: 200, Share: 20 * Percent},
		Source:        SourceLimit{Share: 30 * Percent, Minimum: 5},
		Deactivations: DeactivationLimit{People: 25, Share: 2 * Percent},
		Unlinked:      UnlinkedLimit{People: 5},
		Flapping:      4,
		Settle:        Duration(5 * time.Second),
	}
}

// DefaultSync returns the pace of a policy file that sets none.
func DefaultSync() Sync {
	return Sync{Every: Duration(6 * time.Hour), Feed: Duration(30 * time.Second), InFlight: 8, Pages: 20}
}

// The bounds of a policy file. They are far above any real organization's needs and exist so that a hostile or broken
// file is refused quickly.
const (
	MaxFile     = 1 << 20 // bytes
	MaxMappings = 2000
	MaxEntries  = 20000 // entries of all from, except and to lists together
	maxList     = 500   // entries of one list
	maxNumber   = 1_000_000
	maxGrants   = 500     // entries of the grants section
	maxRules    = 1000    // entries of the rules section
	maxReviews  = 100     // campaigns of the reviews section
	maxStages   = 3       // of one of them
	maxTargets  = 100     // targets of one entry of any of these sections, and entries of a campaign's other lists
	maxPattern  = 500     // characters of a ticket pattern
	maxWords    = 200_000 // characters of all conditions together
	maxLoops    = 100     // conditions that go through lists: only such can be costly
)

// DefaultInactive is after how long without use somebody is reported as inactive.
const DefaultInactive = Duration(90 * window.Day)

// defaultGrant is how long a grant lasts whose request and entry say nothing, within its maximum; defaultWait is how
// long it waits for approvals.
const (
	defaultGrant = Duration(time.Hour)
	defaultWait  = Duration(8 * time.Hour)
)

// What holds of a campaign and its stages that say nothing else.
const (
	defaultStage    = Duration(14 * window.Day)
	defaultEscalate = Duration(window.Day) // of stages that last twice as long or longer
	defaultMost     = 50
	defaultKeep     = Duration(400 * window.Day)
	defaultPatience = Duration(14 * window.Day)
)

// MinStage is the shortest length of a stage. People need days: minutes are for trying out.
const MinStage = time.Minute

// The bounds of the durations and paces a policy file can set.
const (
	minEvery  = 5 * time.Minute
	maxEvery  = 7 * window.Day
	minFeed   = 5 * time.Second
	maxFeed   = time.Hour
	maxSettle = 10 * time.Minute
	maxFlight = 32
	maxPages  = 100
	maxDays   = 90
	maxCount  = 20 // approvals of one grant
	maxTimes  = 100
	MinGrant  = time.Second // of all durations of a grant that must be there
	maxGrant  = 365 * window.Day

	maxStage    = 180 * window.Day
	maxMost     = 1000
	maxKeep     = 3 * 365 * window.Day
	minPatience = time.Hour
	maxPatience = 90 * window.Day
)
