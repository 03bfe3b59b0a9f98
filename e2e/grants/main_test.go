// Package grants_test watches Castellan from outside as it lends access and takes it back: a real Temporal server, a
// simulated organization, a worker process, the ops command and the plain Temporal CLI.
package grants_test

import (
	"os"
	"testing"

	"github.com/castellan-io/castellan/e2e/suite"
)

func TestMain(m *testing.M) { os.Exit(suite.Run(m, 6)) }
