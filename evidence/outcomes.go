package evidence

import "github.com/castellan-io/castellan/access"

// outcome is how an outcome is told: in a word, what it means, and, of an exception, what somebody has to do.
type outcome struct {
	Word, Means, Do string
}

var outcomes = map[access.Outcome]outcome{
	access.OutcomeKept:    {Word: "kept", Means: "As decided, or by the campaign's rule for silence."},
	access.OutcomeRemoved: {Word: "removed", Means: "Written to Atlassian, and read back."},
	access.OutcomeGone:    {Word: "gone before", Means: "It was held no more before anything was written."},
	access.OutcomeDenied: {
		Word:  "removed, still given",
		Means: "It was removed and is denied until a date, because its source still gives it.",
		Do:    "Change the source group, mapping or rule that gives it before the denial ends. After that date the person has it again.",
	},
	access.OutcomeSource: {
		Word:  "not removed, still given",
		Means: "A mapping or rule gives it, so nothing was removed.",
		Do:    "Change the source: take the person out of the source group, or change the mapping or rule. The next run then takes it away.",
	},
	access.OutcomeUndecided: {
		Word:  "undecided",
		Means: "Nobody decided, and the campaign's rule for silence leaves it as it is.",
		Do:    "Have the campaign's owner settle it, and name reviewers who answer before the next review.",
	},
	access.OutcomeSpared: {
		Word:  "spared",
		Means: "Nobody decided, and to remove it would have taken the target's last holders.",
		Do:    "Say who is to hold the target, and then take it from those who are not.",
	},
	access.OutcomeRejected: {
		Word:  "removal rejected",
		Means: "The guard held the removal, and a person said no to it.",
		Do:    "Ask who rejected the plan why. Remove it through a new plan, or record why it stays.",
	},
	access.OutcomeRefused: {
		Word:  "removal refused",
		Means: "A floor or Atlassian refused the removal.",
		Do:    "Read the answer, put right what it names (another holder for a floor, for example), and have it removed.",
	},
	access.OutcomeLate: {
		Word:  "not in time",
		Means: "The removal could not be carried out in time.",
		Do:    "See whether the organization is paused or a hold waits for a decision, and have it removed.",
	},
	access.OutcomeDropped: {Word: "dropped", Means: "The review was cancelled; what was decided is not carried out."},
	access.OutcomeHeld:    {Word: "held", Means: "The guard held the removal when the review was cancelled."},
	access.OutcomeOpen:    {Word: "under way", Means: "It was being removed when the review was cancelled."},
	"":                    {Word: "none", Means: "Nothing became of it before the review was cancelled."},
}

// outcomeOrder is the order in which outcomes are shown: as decided, then what somebody has to look at, the most urgent
// first, then what a cancelled review leaves.
var outcomeOrder = []access.Outcome{
	access.OutcomeKept, access.OutcomeRemoved, access.OutcomeGone,
	access.OutcomeRefused, access.OutcomeLate, access.OutcomeSource, access.OutcomeDenied,
	access.OutcomeRejected, access.OutcomeSpared, access.OutcomeUndecided,
	access.OutcomeDropped, access.OutcomeHeld, access.OutcomeOpen, "",
}
