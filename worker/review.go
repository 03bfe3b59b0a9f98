package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/links"
	"github.com/castellan-io/castellan/reviewpage"
)

// pagesOf is where reviewers' pages are, and what signs the links to them; nil: nowhere.
func pagesOf(page config.ReviewPage) (*activities.ReviewPages, error) {
	if page.URL == nil {
		return nil, nil
	}
	signer, err := links.NewSigner([]byte(page.Key.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("CASTELLAN_REVIEW_KEY: %w", err)
	}
	return &activities.ReviewPages{Signer: signer, Base: page.URL}, nil
}

// The bounds of one request to a reviewer's page.
const (
	pageReads  = 10 * time.Second
	pageWrites = 30 * time.Second
	pageIdles  = 2 * time.Minute
	pageHeader = 32 << 10 // bytes: a link's token stands in the cookie
)

// servePages serves reviewers' pages. Nothing else listens there.
func servePages(ctx context.Context, page config.ReviewPage, pages *activities.ReviewPages, acts *activities.Activities, log *zap.Logger) (served, error) {
	if page.Addr == config.ListenOff {
		return served{page.Addr, func() {}}, nil
	}
	socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", page.Addr)
	if err != nil {
		return served{}, fmt.Errorf("listen on %s (CASTELLAN_REVIEW_ADDR; another address, or off): %w", page.Addr, err)
	}
	server := &http.Server{
		Handler:           reviewpage.New(reviewpage.Options{Desk: acts.Desk(), Signer: pages.Signer, Base: pages.Base, Log: log}),
		ReadHeaderTimeout: pageReads, ReadTimeout: pageReads, WriteTimeout: pageWrites, IdleTimeout: pageIdles, MaxHeaderBytes: pageHeader,
	}
	go func() { _ = server.Serve(socket) }()
	return served{socket.Addr().String(), func() { _ = server.Close() }}, nil
}
