// Package workflows holds the durable processes: OrgSync, the loop of one organization; Reconcile, one run of it;
// TemporaryGrant, what one person holds of one target for a while; AccessReview, one campaign; and Report, a read-only
// question. A workflow file reads as its own specification: its state, its loop, its handlers. How activities are
// called stands in internal/act.
package workflows
