// Package reviews_test watches Castellan from outside as it runs access reviews: a real Temporal server, a simulated
// organization, a worker process with its page for reviewers, the ops command and the plain Temporal CLI.
package reviews_test

import (
	"os"
	"testing"

	"github.com/castellan-io/castellan/e2e/suite"
)

func TestMain(m *testing.M) { os.Exit(suite.Run(m, 4)) }
