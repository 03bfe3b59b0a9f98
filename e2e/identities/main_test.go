// Package identities_test watches Castellan from outside as it follows identity sources: a real Temporal server, a
// simulated organization, a worker process, and files or servers as sources.
package identities_test

import (
	"os"
	"testing"

	"github.com/castellan-io/castellan/e2e/suite"
)

func TestMain(m *testing.M) { os.Exit(suite.Run(m, 10)) }
