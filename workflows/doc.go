// Package workflows holds the workflows: OrgSync, the loop of one organization; Reconcile, one run of it;
// TemporaryGrant, one person's temporary access to one target; AccessReview, one review; Link, a batch of accounts that
// get records; GroupRestore, a lost group that is made again; Ledger, which checks the ledger; and Report, a read-only
// query.
// Each reads as its own specification: state, loop, handlers. Package internal/act calls the activities.
package workflows
