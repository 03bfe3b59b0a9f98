// Package rules_test watches Castellan from outside as it does what rules say: a real Temporal server, a simulated
// organization, a worker process, the ops command and the plain Temporal CLI.
package rules_test

import (
	"os"
	"testing"

	"github.com/castellan-io/castellan/e2e/suite"
)

func TestMain(m *testing.M) { os.Exit(suite.Run(m, 9)) }
