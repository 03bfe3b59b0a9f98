package ledger

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Note is something that is counted over all pages of people, and what it is about, such as a target and a rule.
type Note struct {
	Kind  string
	About [3]string
}

// Notes counts notes.
type Notes map[Note]int

// Add counts one note more.
func (n Notes) Add(kind string, about ...string) { n[noteOf(kind, about)]++ }

// Of returns how often a note was counted.
func (n Notes) Of(kind string, about ...string) int { return n[noteOf(kind, about)] }

func noteOf(kind string, about []string) Note {
	n := Note{Kind: kind}
	copy(n.About[:], about)
	return n
}

// Sorted returns the notes in a fixed order.
func (n Notes) Sorted() []Note {
	return slices.SortedFunc(maps.Keys(n), func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), slices.Compare(a.About[:], b.About[:]))
	})
}

// storedNote is a note as it is stored.
type storedNote struct {
	Kind  string   `json:"kind"`
	About []string `json:"about,omitempty"`
	N     int      `json:"n"`
}

// stored is the notes as they are stored; "" for none.
func (n Notes) stored() string {
	all := make([]storedNote, 0, len(n))
	for _, note := range n.Sorted() {
		about := note.About[:]
		for len(about) > 0 && about[len(about)-1] == "" {
			about = about[:len(about)-1]
		}
		all = append(all, storedNote{Kind: note.Kind, About: about, N: n[note]})
	}
	return list(all)
}

// addStored adds stored notes to a sum. A worker of the version before may have stored texts after the migration, in a
// transaction that had begun before it.
func (n Notes) addStored(stored string) error {
	if strings.HasPrefix(stored, "{") {
		former, err := fromNoteKeys(stored)
		for note, count := range former {
			n[note] += count
		}
		return err
	}
	all, err := fromList[storedNote](stored)
	for _, note := range all {
		n[noteOf(note.Kind, note.About)] += note.N
	}
	return err
}
