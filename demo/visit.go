package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"go.temporal.io/api/serviceerror"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
)

// visit plays the story in a running installation, and leaves it running.
func visit(ctx context.Context, simulator string) error {
	d := &demo{out: newScreen(os.Stdout)}
	var err error
	if d.folder, err = os.MkdirTemp("", "demo-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(d.folder) }()
	if d.policy, err = readPolicy(); err != nil {
		return err
	}
	s, err := stack.Visit(ctx, os.Getenv("TEMPORAL_ADDRESS"), simulator)
	if err != nil {
		return err
	}
	d.Stack = *s
	defer d.Stack.Temporal.Client.Close()
	// As seen from the machine that runs the containers.
	d.Temporal.UI, d.control = "http://127.0.0.1:8080", "http://127.0.0.1:8085"
	d.shell = `make build tools; export TEMPORAL_ADDRESS=127.0.0.1:7233 PATH="$PWD/dist:$PWD/bin:$PATH"`
	_, err = d.Temporal.Client.DescribeWorkflowExecution(ctx, messages.OrgSyncID(org), "")
	if missing := new(serviceerror.NotFound); !errors.As(err, &missing) {
		return errors.Join(err, fmt.Errorf(
			"the organization %s is there already, and the story begins without it: to tell it again, "+
				"end the installation with its data (docker compose --profile '*' down --volumes) and start it anew",
			org))
	}
	if err := d.story(ctx); err != nil {
		return err
	}
	d.out.chapter("It stays up.")
	return d.invite(ctx)
}
