package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/castellan-io/castellan/activities"
	"github.com/castellan-io/castellan/config"
	"github.com/castellan-io/castellan/inbox"
)

// The limits of one request to the inbox.
const (
	inboxReadTimeout  = 10 * time.Second
	inboxWriteTimeout = 30 * time.Second
	inboxIdleTimeout  = 2 * time.Minute
	inboxHeader       = 16 << 10 // bytes
)

// serveInbox serves the inbox and nothing else.
func serveInbox(ctx context.Context, settings config.Inbox, acts *activities.Activities, secrets config.Secrets,
	log *zap.Logger) (endpoint, error) {
	if settings.Addr == config.ListenOff {
		return endpoint{settings.Addr, func() {}}, nil
	}
	socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", settings.Addr)
	if err != nil {
		return endpoint{}, fmt.Errorf("listen on %s (CASTELLAN_INBOX_ADDR; another address, or off): %w", settings.Addr, err)
	}
	if settings.TLS != nil {
		socket = tls.NewListener(socket, settings.TLS)
	}
	server := &http.Server{
		Handler: inbox.New(inbox.Options{Env: acts.Env, Log: log, Secret: func(org, ref string) (string, error) {
			secret, err := secrets.ResolveLines(org, ref)
			return secret.Reveal(), err
		}}),
		ReadHeaderTimeout: inboxReadTimeout, ReadTimeout: inboxReadTimeout, WriteTimeout: inboxWriteTimeout,
		IdleTimeout: inboxIdleTimeout, MaxHeaderBytes: inboxHeader,
	}
	return serveBounded(server, socket, connectionsOf(settings.Connections, descriptors())), nil
}
