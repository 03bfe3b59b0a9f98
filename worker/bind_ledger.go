package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.uber.org/zap"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// How often a worker checks that its ledger and its namespace still belong together, and that no newer worker has taken
// over.
const (
	checkBindingEvery = time.Minute
	checkSchemaEvery  = 5 * time.Second
)

// errNotBound is the error where the ledger or the namespace belongs to another.
var errNotBound = errors.New("the ledger and the Temporal namespace do not belong together")

// bindLedger makes a ledger and a namespace belong together at their first use, and refuses any other pair from then
// on: two ledgers in one namespace would answer in turns, and one ledger in two namespaces would have two writers for
// each organization. The namespace records it in a workflow that can be started only once, and the ledger in a row.
func bindLedger(ctx context.Context, temporal client.Client, namespace string, store *ledger.Ledger) error {
	id := namespaceID(ctx, temporal, namespace)
	is, err := store.OwnIdentity(ctx)
	if err != nil {
		return err
	}
	if err := sameNamespace(is, namespace, id); err != nil {
		return err
	}
	owner, err := namespaceLedger(ctx, temporal)
	if err == nil && owner == "" {
		owner, err = claimNamespace(ctx, temporal, is.Ledger)
	}
	if err != nil {
		return fmt.Errorf("read which ledger namespace %s belongs to: %w", namespace, err)
	}
	if owner != is.Ledger {
		return fmt.Errorf("%w: namespace %s belongs to the ledger %s, and CASTELLAN_LEDGER is the ledger %s. Point CASTELLAN_LEDGER at the former, or TEMPORAL_NAMESPACE at another namespace. If this ledger is to take over on purpose, stop all workers of the namespace and run `worker --move-ledger` once", errNotBound, namespace, owner, is.Ledger)
	}
	if is, err = store.BindNamespace(ctx, namespace, id, false); err != nil {
		return err
	}
	return sameNamespace(is, namespace, id)
}

// freshNamespace is how long parts of Temporal may not know a new namespace.
const freshNamespace = 20 * time.Second

// bindAtStart is bindLedger for a worker that starts.
func bindAtStart(ctx context.Context, temporal client.Client, namespace string, store *ledger.Ledger) error {
	ctx, cancel := context.WithTimeout(ctx, freshNamespace)
	defer cancel()
	for {
		err := bindLedger(ctx, temporal, namespace, store)
		var unknown *serviceerror.NamespaceNotFound
		if !errors.As(err, &unknown) {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return fmt.Errorf("there is no namespace %s (TEMPORAL_NAMESPACE) at this Temporal server; make it (%s): %w",
				namespace, display.MakeNamespace(namespace), err)
		}
	}
}

// sameNamespace returns an error if the ledger belongs to another namespace.
func sameNamespace(is ledger.OwnIdentity, namespace, id string) error {
	if is.Namespace == "" || is.Namespace == namespace && (is.NamespaceID == id || is.NamespaceID == "" || id == "") {
		return nil
	}
	return fmt.Errorf("%w: the ledger %s belongs to namespace %s, and TEMPORAL_NAMESPACE is %s. Point TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE at the former, or CASTELLAN_LEDGER at another ledger. If the ledger is to move here on purpose, stop all its workers and run `worker --move-ledger` once",
		errNotBound, is.Ledger, named(is.Namespace, is.NamespaceID), named(namespace, id))
}

func named(namespace, id string) string {
	if id == "" {
		return namespace
	}
	return namespace + " (id " + id + ")"
}

// namespaceID returns the namespace's ID, which tells it from one of the same name elsewhere; "" if the worker may not
// ask.
func namespaceID(ctx context.Context, temporal client.Client, namespace string) string {
	found, err := temporal.WorkflowService().DescribeNamespace(ctx,
		&workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	if err != nil {
		return ""
	}
	return found.GetNamespaceInfo().GetId()
}

// namespaceLedger returns the ledger that the namespace belongs to; "" if there is none.
func namespaceLedger(ctx context.Context, temporal client.Client) (owner string, err error) {
	found, err := temporal.DescribeWorkflowExecution(ctx, messages.LedgerWorkflow, "")
	var none *serviceerror.NotFound
	if errors.As(err, &none) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	info := found.GetWorkflowExecutionInfo()
	if info.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return "", nil
	}
	if err := converter.GetDefaultDataConverter().FromPayload(info.GetMemo().GetFields()[messages.LedgerMemo],
		&owner); err != nil || owner == "" {
		return "", fmt.Errorf("the workflow %s does not say it: %w", messages.LedgerWorkflow, err)
	}
	return owner, nil
}

// claimNamespace starts the workflow that records which ledger the namespace belongs to, unless another worker just
// did, and returns that ledger.
func claimNamespace(ctx context.Context, temporal client.Client, id string) (owner string, err error) {
	if _, err := temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: messages.LedgerWorkflow, TaskQueue: messages.QueueWorkflows, WorkflowTaskTimeout: messages.TaskTimeout,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		Memo:                     map[string]any{messages.LedgerMemo: id},
		StaticSummary:            "which ledger this namespace belongs to",
	}, messages.Ledger, messages.LedgerInput{Ledger: id}); err != nil {
		return "", err
	}
	return namespaceLedger(ctx, temporal)
}

// watchBinding checks regularly that ledger and namespace still belong together and that the ledger's schema is still
// this program's. It reports if they were moved, or if a newer worker has migrated the ledger: this worker writes
// nothing from then on.
func watchBinding(ctx context.Context, temporal client.Client, namespace string, store *ledger.Ledger, log *zap.Logger,
	ends chan<- error) {
	binding, current := time.NewTicker(checkBindingEvery), time.NewTicker(checkSchemaEvery)
	defer binding.Stop()
	defer current.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-binding.C:
			err = bindLedger(ctx, temporal, namespace, store)
		case <-current.C:
			err = store.Current(ctx)
		}
		switch {
		case errors.Is(err, errNotBound), errors.Is(err, ledger.ErrNewer):
			ends <- err
			return
		case err != nil && ctx.Err() == nil:
			log.Warn("whether the ledger is still this worker's is not known", zap.Error(err))
		}
	}
}
