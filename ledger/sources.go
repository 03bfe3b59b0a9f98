package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrSuperseded is the error for a read that is over, or in whose place another was begun: nothing more of it is
// stored.
var ErrSuperseded = errors.New("it is not the read in progress")

// Source is the ledger's record of the reads of an identity source, or of a SCIM directory.
type Source struct {
	Name        string    `json:"name"`
	Begun       int64     `json:"begun"` // number of the newest read
	BegunAt     time.Time `json:"begunAt,omitzero"`
	Read        int64     `json:"read"` // number of the last complete read; 0: there was none
	ReadAt      time.Time `json:"readAt,omitzero"`
	As          string    `json:"as,omitempty"` // who read what, as its proof says
	People      int       `json:"people"`       // what it showed; of a directory: records
	Groups      int       `json:"groups"`
	Memberships int       `json:"memberships"`
	// Good is the last complete read that was not suspect, or that a person accepted: others are compared with it.
	Good Baseline `json:"good"`
	// Suspect is why nothing that is missing counts as gone; "" if it does.
	Suspect     string    `json:"suspect,omitempty"`
	ProblemKind string    `json:"problemKind,omitempty"` // why the newest read failed
	Problem     string    `json:"problem,omitempty"`     // likewise, in words
	Failing     time.Time `json:"failing,omitzero"`      // since when reads have failed
	Change      int64     `json:"change"`                // number of the last change that concerned somebody
	Changed     time.Time `json:"changed,omitzero"`

	// Cycles are the groups that contain each other, by name, as the last complete read names them.
	Cycles [][]string `json:"cycles,omitempty"`

	// Of a source that posts: when a post was last applied, and how many were refused, the last one for this reason.
	Posted      time.Time `json:"posted,omitzero"`
	Refused     int       `json:"refused,omitempty"`
	RefusedAt   time.Time `json:"refusedAt,omitzero"`
	RefusedCode string    `json:"refusedCode,omitempty"`
}

// Baseline is what a complete read showed.
type Baseline struct {
	Read   int64  `json:"read"`
	As     string `json:"as,omitempty"`
	People int    `json:"people"`
}

// The kinds of replica.
const (
	replicaSource    = "source"
	replicaDirectory = "directory"
)

const selectSource = `SELECT name, begun, begun_at, read, read_at, as_whom, people, group_count, memberships, good_read,
	good_as, good_people, suspect, problem_kind, problem, failing, change, changed, posted_at, refused, refused_at,
	refused_code, cycles FROM replicas`

func scanSource(row scanner) (s Source, err error) {
	var begun, read, failing, changed, posted, refused int64
	var cycles string
	err = row.Scan(&s.Name, &s.Begun, &begun, &s.Read, &read, &s.As, &s.People, &s.Groups, &s.Memberships, &s.Good.Read,
		&s.Good.As, &s.Good.People, &s.Suspect, &s.ProblemKind, &s.Problem, &failing, &s.Change, &changed, &posted,
		&s.Refused, &refused, &s.RefusedCode, &cycles)
	if err == nil {
		s.Cycles, err = fromList[[]string](cycles)
	}
	s.Posted, s.RefusedAt = fromInstant(posted), fromInstant(refused)
	s.BegunAt, s.ReadAt, s.Failing, s.Changed = fromInstant(begun), fromInstant(read), fromInstant(failing),
		fromInstant(changed)
	return s, err
}

// Sources returns all identity sources that were ever read, by name.
func (l *Ledger) Sources(ctx context.Context, org string) ([]Source, error) {
	all, err := collect(ctx, l.reads, scanSource, selectSource+` WHERE org = ? AND kind = ? ORDER BY name`, org,
		replicaSource)
	return all, reading(err, "the sources", org)
}

// Source returns one source; one that was never read has nothing but its name.
func (l *Ledger) Source(ctx context.Context, org, name string) (Source, error) {
	s, err := l.reads.replica(ctx, org, replicaSource, name)
	return s, reading(err, "source "+name, org)
}

func (d database) replica(ctx context.Context, org, kind, name string) (Source, error) {
	s, err := first(ctx, d, scanSource, selectSource+` WHERE org = ? AND kind = ? AND name = ?`, org, kind, name)
	if errors.Is(err, ErrNotFound) {
		return Source{Name: name}, nil
	}
	return s, err
}

// BeginSourceRead begins a read and returns its number. Any other read in progress is over from then on: what it marked
// as missing is not, and the groups that this concerns lose their digests, so that they are saved again.
func (l *Ledger) BeginSourceRead(ctx context.Context, org, name string, now time.Time) (read int64, err error) {
	return l.beginRead(ctx, org, replicaSource, name, now)
}

func (l *Ledger) beginRead(ctx context.Context, org, kind, name string, now time.Time) (read int64, err error) {
	err = l.write(ctx, org, "begin to read "+kind+" "+name, func(w *write) error {
		s, err := w.replica(ctx, org, kind, name)
		if err != nil {
			return err
		}
		if err := w.undoMarks(ctx, kind, s); err != nil {
			return err
		}
		read = s.Begun + 1
		_, err = w.exec(ctx, `INSERT INTO replicas (org, kind, name, begun, begun_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (org, kind, name) DO UPDATE SET begun = excluded.begun, begun_at = excluded.begun_at`,
			org, kind, name, read, instant(orNow(now)))
		return err
	})
	return read, err
}

// undoMarks deletes the marks of reads that did not end. Only memberships can have any: who and which groups are
// missing is stored when a read ends.
func (w *write) undoMarks(ctx context.Context, kind string, s Source) error {
	if kind != replicaSource || s.Begun == s.Read {
		return nil
	}
	const unended = `org = ? AND source = ? AND missing_read > 0 AND missing_read > ?`
	if _, err := w.exec(ctx, `UPDATE source_groups SET digest = '' WHERE org = ? AND source = ? AND key IN (
		SELECT group_key FROM source_members WHERE `+unended+`)`,
		w.org, s.Name, w.org, s.Name, s.Read); err != nil {
		return err
	}
	_, err := w.exec(ctx, `UPDATE source_members SET missing_read = 0, missing_at = 0 WHERE `+unended,
		w.org, s.Name, s.Read)
	return err
}

// progress returns the replica, and an error unless the read is in progress. Read 0 stands for a look-up outside of any
// read.
func (w *write) progress(ctx context.Context, kind, name string, read int64) (Source, error) {
	s, err := w.replica(ctx, w.org, kind, name)
	if err == nil && read != 0 && (read != s.Begun || read <= s.Read) {
		err = fmt.Errorf("read %d: %w: the newest is %d, and %d is complete", read, ErrSuperseded, s.Begun, s.Read)
	}
	return s, err
}

// End is what a complete read proves.
type End struct {
	As                          string // who read what
	People, Groups, Memberships int    // what it showed
	// MissingPeople and MissingGroups are the keys that SourceDigests returned and the read did not show.
	MissingPeople, MissingGroups []string
	// Suspect is why nothing that is missing may count as gone; "" if it may. It replaces the former one.
	Suspect string
	// Cycles are the groups that contain each other, by name. They replace the former ones.
	Cycles [][]string
}

// EndSourceRead records that a read was complete. Who is missing from it counts as present until that is concluded: see
// MissingIdentities and ConcludeMissing. Ending the last complete read again does nothing. ErrSuperseded: another read
// was begun, or this one failed.
func (l *Ledger) EndSourceRead(ctx context.Context, org, name string, read int64, end End, now time.Time) error {
	return l.endRead(ctx, org, replicaSource, name, read, end, func(w *write) error {
		if err := w.markMissing(ctx, `UPDATE identities SET state = 'missing', since = ?, missing_read = ?
			WHERE state = 'present' AND `, "org, source", "key", name, end.MissingPeople, orNow(now), read); err != nil {
			return err
		}
		return w.markMissing(ctx, `UPDATE source_groups SET missing_at = ?, missing_read = ? WHERE missing_read = 0 AND `,
			"org, source", "key", name, end.MissingGroups, orNow(now), read)
	}, now)
}

func (w *write) markMissing(ctx context.Context, update, keys, column, name string, missing []string, now time.Time,
	read int64) error {
	for _, some := range chunks(missing) {
		where, args := among(keys, column, some, w.org, name)
		if _, err := w.exec(ctx, update+where, append([]any{instant(now), read}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) endRead(ctx context.Context, org, kind, name string, read int64, end End, mark func(w *write) error,
	now time.Time) error {
	return l.write(ctx, org, fmt.Sprintf("end read %d of %s %s", read, kind, name), func(w *write) error {
		s, err := w.replica(ctx, org, kind, name)
		if err != nil || read > 0 && read == s.Read && read == s.Begun {
			return err
		}
		if read == 0 || read != s.Begun || read <= s.Read {
			return fmt.Errorf("%w: the newest is %d, and %d is complete", ErrSuperseded, s.Begun, s.Read)
		}
		if err := mark(w); err != nil {
			return err
		}
		if end.Suspect == "" {
			s.Good = Baseline{Read: read, As: end.As, People: end.People}
		}
		_, err = w.exec(ctx, `UPDATE replicas SET read = ?, read_at = ?, as_whom = ?, people = ?, group_count = ?,
			memberships = ?, good_read = ?, good_as = ?, good_people = ?, suspect = ?, problem_kind = '', problem = '',
			failing = 0, cycles = ? WHERE org = ? AND kind = ? AND name = ?`, read, instant(orNow(now)), end.As,
			end.People, end.Groups, end.Memberships, s.Good.Read, s.Good.As, s.Good.People, end.Suspect,
			list(end.Cycles), org, kind, name)
		return err
	})
}

// FailSourceRead records why a read did not end, and that it is over. A read that is not in progress is ignored.
func (l *Ledger) FailSourceRead(ctx context.Context, org, name string, read int64, kind, problem string,
	now time.Time) error {
	return l.failRead(ctx, org, replicaSource, name, read, kind, problem, now)
}

func (l *Ledger) failRead(ctx context.Context, org, of, name string, read int64, kind, problem string,
	now time.Time) error {
	return l.write(ctx, org, fmt.Sprintf("note that read %d of %s %s failed", read, of, name), func(w *write) error {
		s, err := w.progress(ctx, of, name, read)
		if errors.Is(err, ErrSuperseded) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.undoMarks(ctx, of, s); err != nil {
			return err
		}
		if read > 0 {
			s.Begun++ // whatever is still to come of this read is refused
		}
		_, err = w.exec(ctx, `INSERT INTO replicas (org, kind, name, begun, problem_kind, problem, failing)
			VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (org, kind, name) DO UPDATE SET begun = excluded.begun,
			problem_kind = excluded.problem_kind, problem = excluded.problem,
			failing = CASE WHEN replicas.failing > 0 THEN replicas.failing ELSE excluded.failing END`,
			org, of, name, s.Begun, kind, problem, instant(orNow(now)))
		return err
	})
}

// AcceptSource accepts the last complete read of a source although it is suspect: what is missing from it is concluded
// as from any other. Accepting it again does nothing. ErrNotOpen: another read is the last one. ErrNotFound: the source
// was never read.
func (l *Ledger) AcceptSource(ctx context.Context, org, name string, read int64, by, note string,
	now time.Time) error {
	return l.write(ctx, org, "accept what source "+name+" shows", func(w *write) error {
		s, err := w.replica(ctx, org, replicaSource, name)
		switch {
		case err != nil:
			return err
		case s.Read == 0:
			return ErrNotFound
		case read > 0 && read == s.Good.Read:
			return nil
		case read != s.Read:
			return fmt.Errorf("read %d: %w: the last complete one is %d", read, ErrNotOpen, s.Read)
		}
		if _, err := w.exec(ctx, `UPDATE replicas SET suspect = '', good_read = read, good_as = as_whom,
			good_people = people WHERE org = ? AND kind = ? AND name = ?`, org, replicaSource, name); err != nil {
			return err
		}
		return w.append(ctx, Entry{At: orNow(now), Kind: EntrySourceAccepted, Body: body(map[string]any{
			"source": name, "read": read, "people": s.People, "was": s.Good.People, "by": by, "note": note,
		})})
	})
}
