package evidence

import "github.com/castellan-io/castellan/access"

// outcomeText describes an outcome; ToDo is what to do about an exception.
type outcomeText struct {
	Label, Meaning, ToDo string
}

var outcomeTexts = map[access.Outcome]outcomeText{
	access.OutcomeKept:    {Label: "kept", Meaning: "As decided, or by the campaign's rule for silence."},
	access.OutcomeRemoved: {Label: "removed", Meaning: "Written to Atlassian, and read back."},
	access.OutcomeGone:    {Label: "gone before", Meaning: "It was held no more before anything was written."},
	access.OutcomeDenied: {
		Label:   "removed, still given",
		Meaning: "It was removed and is denied until a date, because its source still gives it.",
		ToDo:    "Change the source group, mapping or rule that gives it before the denial ends. After that date the person has it again.",
	},
	access.OutcomeSource: {
		Label:   "not removed, still given",
		Meaning: "A mapping or rule gives it, so nothing was removed.",
		ToDo:    "Change the source: take the person out of the source group, or change the mapping or rule. The next run then takes it away.",
	},
	access.OutcomeUndecided: {
		Label:   "undecided",
		Meaning: "Nobody decided, and the campaign's rule for silence leaves it as it is.",
		ToDo:    "Have the campaign's owner settle it, and name reviewers who answer before the next review.",
	},
	access.OutcomeSpared: {
		Label:   "spared",
		Meaning: "Nobody decided, and to remove it would have taken the target's last holders.",
		ToDo:    "Say who is to hold the target, and then take it from those who are not.",
	},
	access.OutcomeRejected: {
		Label:   "removal rejected",
		Meaning: "The guard held the removal, and a person said no to it.",
		ToDo:    "Ask who rejected the plan why. Remove it through a new plan, or record why it stays.",
	},
	access.OutcomeRefused: {
		Label:   "removal refused",
		Meaning: "A floor or Atlassian refused the removal.",
		ToDo:    "Read the answer, put right what it names (another holder for a floor, for example), and have it removed.",
	},
	access.OutcomeLate: {
		Label:   "not in time",
		Meaning: "The removal could not be carried out in time.",
		ToDo:    "See whether the organization is paused or a hold waits for a decision, and have it removed.",
	},
	access.OutcomeDropped: {Label: "dropped", Meaning: "The review was cancelled; what was decided is not carried out."},
	access.OutcomeHeld:    {Label: "held", Meaning: "The guard held the removal when the review was cancelled."},
	access.OutcomeOpen:    {Label: "under way", Meaning: "It was being removed when the review was cancelled."},
	"":                    {Label: "none", Meaning: "Nothing became of it before the review was cancelled."},
}

// outcomeOrder is the order in which outcomes are shown: as decided, then exceptions, the most urgent first, then those
// of cancelled reviews.
var outcomeOrder = []access.Outcome{
	access.OutcomeKept, access.OutcomeRemoved, access.OutcomeGone,
	access.OutcomeRefused, access.OutcomeLate, access.OutcomeSource, access.OutcomeDenied,
	access.OutcomeRejected, access.OutcomeSpared, access.OutcomeUndecided,
	access.OutcomeDropped, access.OutcomeHeld, access.OutcomeOpen, "",
}
