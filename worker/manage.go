package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/messages"
)

// retire frees an organization's ID, so that another name may serve it.
func retire(ctx context.Context, org string) error {
	settings, err := config.Load[config.Worker]()
	if err != nil {
		return err
	}
	store, err := openLedger(ctx, settings)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	id, err := store.Retire(ctx, org, "worker --retire, by "+whoAmI(), time.Now())
	if errors.Is(err, ledger.ErrNotFound) {
		return fmt.Errorf("the ledger serves no organization %q", org)
	}
	if err != nil {
		return err
	}
	display.Fprintf(os.Stdout, "organization %s (id %s) is retired: nothing is written to it under this name, and another may serve it. What the ledger knows of it stays.\nEnd its workflows, if they run: %s\n", org, id, display.Terminate("CastellanOrg", org))
	if err := wakeOrgSync(ctx, settings, org); err != nil {
		display.Fprintf(os.Stdout, "Its workflow was not told (%s): its status says so from its next run on.\n",
			err.Error())
	}
	return nil
}

// wakeOrgSync wakes the organization's workflow, if there is one, so that its status shows at once that it is retired.
func wakeOrgSync(ctx context.Context, settings config.Worker, org string) error {
	temporal, _, err := dial(ctx, config.NewLogger(os.Stderr, settings.LogLevel, settings.LogFormat), nil)
	if err != nil {
		return err
	}
	defer temporal.Close()
	err = temporal.SignalWorkflow(ctx, messages.OrgSyncID(org), "", messages.SyncNow,
		messages.SyncNowInput{By: "worker --retire, by " + whoAmI()})
	var none *serviceerror.NotFound
	if errors.As(err, &none) {
		return nil
	}
	return err
}

// moveLedger makes the ledger and the namespace of the settings belong together from now on, whatever they belonged to
// before.
func moveLedger(ctx context.Context) error {
	settings, err := config.Load[config.Worker]()
	if err != nil {
		return err
	}
	store, err := openLedger(ctx, settings)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	temporal, namespace, err := dial(ctx, config.NewLogger(os.Stderr, settings.LogLevel, settings.LogFormat), nil)
	if err != nil {
		return err
	}
	defer temporal.Close()
	was, err := store.OwnIdentity(ctx)
	if err != nil {
		return err
	}
	owner, err := namespaceLedger(ctx, temporal)
	if err == nil && owner != was.Ledger {
		if owner != "" {
			err = temporal.TerminateWorkflow(ctx, messages.LedgerWorkflow, "",
				"worker --move-ledger: the namespace belongs to the ledger "+was.Ledger+" now")
		}
		var gone *serviceerror.NotFound
		if err == nil || errors.As(err, &gone) {
			_, err = claimNamespace(ctx, temporal, was.Ledger)
		}
	}
	if err != nil {
		return fmt.Errorf("make namespace %s belong to the ledger %s: %w", namespace, was.Ledger, err)
	}
	id := namespaceID(ctx, temporal, namespace)
	if _, err := store.BindNamespace(ctx, namespace, id, true); err != nil {
		return err
	}
	fmt.Printf("the ledger %s belongs to namespace %s from now on (before: %s), and the namespace to it (before: %s). Start the workers.\n",
		was.Ledger, named(namespace, id), orNone(named(was.Namespace, was.NamespaceID)), orNone(owner))
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func whoAmI() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "somebody"
}

func openLedger(ctx context.Context, settings config.Worker) (*ledger.Ledger, error) {
	url, err := settings.LedgerURL()
	if err != nil {
		return nil, err
	}
	store, err := ledger.Open(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("open the ledger (CASTELLAN_LEDGER): %w", err)
	}
	return store, nil
}
