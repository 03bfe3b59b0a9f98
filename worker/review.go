package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/activities/reviews"
	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/links"
	"github.com/castellan-io/castellan/reviewpage"
	"github.com/castellan-io/castellan/reviewpage/backend"
)

// pagesOf returns where reviewers' pages are and what signs the links to them; nil: nowhere.
func pagesOf(page config.ReviewPage) (*reviews.ReviewPages, error) {
	if page.URL == nil {
		return nil, nil
	}
	signer, err := links.NewSigner([]byte(page.Key.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("CASTELLAN_REVIEW_KEY: %w", err)
	}
	return &reviews.ReviewPages{Signer: signer, Base: page.URL}, nil
}

// The limits of one request to a reviewer's page.
const (
	pageReadTimeout  = 10 * time.Second
	pageWriteTimeout = 30 * time.Second
	pageIdleTimeout  = 2 * time.Minute
	pageHeader       = 32 << 10 // bytes: a link's token is in the cookie
)

// servePages serves reviewers' pages and nothing else.
func servePages(ctx context.Context, page config.ReviewPage, pages *reviews.ReviewPages, acts *activities.Activities,
	log *zap.Logger) (endpoint, error) {
	if page.Addr == config.ListenOff {
		return endpoint{page.Addr, func() {}}, nil
	}
	socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", page.Addr)
	if err != nil {
		return endpoint{}, fmt.Errorf("listen on %s (CASTELLAN_REVIEW_ADDR; another address, or off): %w", page.Addr, err)
	}
	server := &http.Server{
		Handler: reviewpage.New(reviewpage.Options{Backend: backend.New(acts.Env, acts.Reviews.Records()),
			Signer: pages.Signer, Base: pages.Base, Log: log}),
		ReadHeaderTimeout: pageReadTimeout, ReadTimeout: pageReadTimeout, WriteTimeout: pageWriteTimeout,
		IdleTimeout:    pageIdleTimeout,
		MaxHeaderBytes: pageHeader,
	}
	return serveBounded(server, socket, connectionsOf(page.Connections, descriptors())), nil
}

// connectionsOf returns how many connections an endpoint for others may hold: as many as are set, but at most a quarter
// of what the process may have open, so that the ledger, calls, notices and health checks always get some. Zero
// descriptors: unknown.
func connectionsOf(set int, descriptors uint64) int {
	if quarter := descriptors / 4; quarter > 0 && uint64(set) > quarter {
		return int(quarter)
	}
	return set
}
