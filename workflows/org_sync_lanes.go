package workflows

// lanes are the runs of an organization, the most urgent first, and own what may run beside what. One of them writes at
// a time: the gate of the others is closed meanwhile.
type lanes struct {
	grants    *childRun // what grants give and take back is being written: ahead of the others
	urgent    *childRun // a few people's changes being written, ahead of the full lane
	full      *childRun // a full verification, an approved hold or an undo, in the background
	verifying int       // runs of a few people that are not over yet; all but the urgent one only verify

	runningGrants bool // what grants give and take is just being planned or written
	stoppingRuns  int  // runs that are just being ended: none begins meanwhile
}

// mayStartGrants reports whether a run of grants may begin: it waits for no other.
func (l *lanes) mayStartGrants() bool { return l.stoppingRuns == 0 }

// mayStartUrgent reports whether a few people's changes may be looked at and written: one look at a time.
func (l *lanes) mayStartUrgent() bool { return l.urgent == nil && l.stoppingRuns == 0 }

// mayStartFull reports whether a run in the background may begin: when nothing more urgent is being written.
func (l *lanes) mayStartFull() bool {
	return l.full == nil && l.urgent == nil && !l.runningGrants && l.stoppingRuns == 0
}

// nextWriter returns the run whose gate may be opened; nil: none, or a run of grants writes.
func (l *lanes) nextWriter() *childRun {
	switch {
	case l.grants != nil:
		return nil
	case l.urgent != nil:
		return l.urgent
	}
	return l.full
}

// underWay returns the runs that may say something; nil for a lane in which none is.
func (l *lanes) underWay() []*childRun { return []*childRun{l.grants, l.urgent, l.full} }

// idle reports whether nothing runs that a history's end would interrupt; runs of grants aside.
func (l *lanes) idle() bool {
	return l.full == nil && l.urgent == nil && l.verifying == 0 && l.stoppingRuns == 0
}
