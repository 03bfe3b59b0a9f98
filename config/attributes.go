package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/castellan-io/castellan/display"
)

// ErrMayNotRegister is the error for a caller that may not register search attributes: on Temporal Cloud, an admin does
// it once.
var ErrMayNotRegister = errors.New("search attributes are missing and may not be registered from here")

// registerRetry is the pause between two attempts to register search attributes, at first and at most.
const (
	registerRetry    = 200 * time.Millisecond
	maxRegisterRetry = 5 * time.Second
)

// AwaitSearchAttributes registers the search attributes that a namespace lacks, and returns once queries and workflows
// may use all of them: a workflow that sets an unknown one is stuck. Registration fails for some seconds after a
// namespace was created, until all of Temporal's services know it: goOn gets the error and decides whether to try
// again.
func AwaitSearchAttributes(ctx context.Context, c client.Client, namespace string,
	wanted map[string]enumspb.IndexedValueType, goOn func(error) bool) error {
	names := slices.Sorted(maps.Keys(wanted))
	if checkQueryable(ctx, c, namespace, names) == nil {
		return nil
	}
	for pause := registerRetry; ; pause = min(pause*3/2, maxRegisterRetry) {
		err := registerSearchAttributes(ctx, c, namespace, wanted)
		if err == nil {
			err = errors.Join(checkQueryable(ctx, c, namespace, names), checkSettable(ctx, c, namespace, names))
			if err == nil {
				return nil
			}
			err = fmt.Errorf("the search attributes %v are registered in namespace %s, and Temporal does not take them yet: %w",
				names, namespace, err)
		}
		if !goOn(err) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// registerSearchAttributes registers those that are missing.
func registerSearchAttributes(ctx context.Context, c client.Client, namespace string,
	wanted map[string]enumspb.IndexedValueType) error {
	missing := maps.Clone(wanted)
	known, err := c.OperatorService().ListSearchAttributes(ctx,
		&operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err == nil {
		for name := range known.GetCustomAttributes() {
			delete(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx,
		&operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	var exists *serviceerror.AlreadyExists
	var denied *serviceerror.PermissionDenied
	switch {
	case errors.As(err, &denied):
		return fmt.Errorf("%w (%s). Whoever may registers them once (on Temporal Cloud by tcld or in its Web UI): %s",
			ErrMayNotRegister, denied.Message, registerCommand(namespace, missing))
	case err != nil && !errors.As(err, &exists):
		return fmt.Errorf("register the search attributes %v in namespace %s: %w",
			slices.Sorted(maps.Keys(missing)), namespace, err)
	}
	return nil
}

// checkQueryable returns nil if a query may name the search attributes. The query is for one workflow, which need not
// exist.
func checkQueryable(ctx context.Context, c client.Client, namespace string, names []string) error {
	_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: namespace,
		Query:     `WorkflowId = "none" AND (` + strings.Join(names, " IS NULL OR ") + ` IS NULL)`,
	})
	return err
}

func registerCommand(namespace string, missing map[string]enumspb.IndexedValueType) display.Command {
	types := make(map[string]string, len(missing))
	for name, kind := range missing {
		types[name] = kind.String()
	}
	return display.RegisterAttributes(namespace, types)
}
