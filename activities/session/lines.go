package session

import (
	"encoding/json"
	"fmt"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
)

// WriteKey returns a change's key as JSON text, from which the next page continues.
func WriteKey(c access.Change) string {
	text, _ := json.Marshal(KeyOf(c)) // three strings cannot fail
	return string(text)
}

// ReadKey parses a key of WriteKey; "" is no key.
func ReadKey(text string) (key ledger.Key, err error) {
	if text == "" {
		return key, nil
	}
	if err := json.Unmarshal([]byte(text), &key); err != nil {
		return key, fmt.Errorf("after %q is not what an earlier answer said", text)
	}
	return key, nil
}

// KeyOf returns the key of a change in its run.
func KeyOf(c access.Change) ledger.Key {
	return ledger.Key{Action: c.Action, Person: c.Person, Target: c.Target}
}

// LinesAtOnce is how many plan lines are in memory while a plan is judged.
const LinesAtOnce = 1000
