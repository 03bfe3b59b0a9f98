package workflows

// lanes are the runs of an organization, the most urgent first. One of them writes at a time: the gates of the others
// are closed meanwhile.
type lanes struct {
	grants    *childRun // writes grants' changes, before the others
	urgent    *childRun // writes a few people's changes, before the full lane
	full      *childRun // a full verification, an approved hold or an undo, in the background
	verifying int       // runs of a few people that are not over yet; all but the urgent one only verify

	runningGrants bool // a run of grants is being planned or written
	stoppingRuns  int  // number of runs being stopped: none begins meanwhile
}

// mayStartGrants reports whether a run of grants may begin.
func (l *lanes) mayStartGrants() bool { return l.stoppingRuns == 0 }

// mayStartUrgent reports whether a run of a few people may begin: one at a time.
func (l *lanes) mayStartUrgent() bool { return l.urgent == nil && l.stoppingRuns == 0 }

// mayStartFull reports whether a run in the background may begin: if nothing more urgent is being written.
func (l *lanes) mayStartFull() bool {
	return l.full == nil && l.urgent == nil && !l.runningGrants && l.stoppingRuns == 0
}

// nextWriter returns the run whose gate may be opened; nil if there is none, or a run of grants writes.
func (l *lanes) nextWriter() *childRun {
	switch {
	case l.grants != nil:
		return nil
	case l.urgent != nil:
		return l.urgent
	}
	return l.full
}

// underWay returns the run of each lane, or nil.
func (l *lanes) underWay() []*childRun { return []*childRun{l.grants, l.urgent, l.full} }

// idle reports whether nothing runs, apart from grants, that the history's end would interrupt.
func (l *lanes) idle() bool {
	return l.full == nil && l.urgent == nil && l.verifying == 0 && l.stoppingRuns == 0
}
