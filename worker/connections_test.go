package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bounds serves a page that says "page" with at most so many connections.
func bounds(t *testing.T, most int) string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := serveBounded(&http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_,
				_ = io.WriteString(w, "page")
		}),
		ReadHeaderTimeout: time.Minute,
	}, socket, most)
	t.Cleanup(served.stop)
	return served.address
}

// hold opens a connection from an address and sends an incomplete request.
func hold(t *testing.T, from, to string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext(t.Context(), "tcp", to)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n")
	require.NoError(t, err)
	return conn
}

// closed reports whether the other side closes the connection; it waits for as long as that takes.
func closed(t *testing.T, conn net.Conn) bool {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	_, err := conn.Read(make([]byte, 1))
	require.Error(t, err)
	timeout, _ := err.(net.Error)
	return timeout == nil || !timeout.Timeout()
}

func TestConnectionsOfOneAddressLeaveRoomForOthers(t *testing.T) {
	address := bounds(t, 40)
	for range 10 {
		hold(t, "127.0.0.1", address)
	}
	require.True(t, closed(t, hold(t, "127.0.0.1", address)), "an eleventh")
	require.Equal(t, "page", ask(t, clientFrom("127.0.0.2"), address))
}

func TestConnectionsAreBoundedInAll(t *testing.T) {
	address := bounds(t, 40)
	for host := 1; host <= 4; host++ {
		for range 10 {
			hold(t, fmt.Sprintf("127.0.0.%d", host), address)
		}
	}
	require.True(t, closed(t, hold(t, "127.0.0.9", address)))
}

// Browsers keep their connections: idle ones make room for new ones.
func TestConnectionsThatAreIdleMakeRoom(t *testing.T) {
	address := bounds(t, 8)
	for range 30 {
		c := clientFrom("127.0.0.1") // another connection; the earlier ones stay open
		require.Eventually(t, func() bool {
			answer, err := c.Get("http://" + address)
			if err != nil {
				return false // the earlier ones have had their page, but the server may not know yet that they are idle
			}
			defer func() { _ = answer.Body.Close() }()
			body, err := io.ReadAll(answer.Body)
			return err == nil && string(body) == "page"
		}, 30*time.Second, 5*time.Millisecond)
	}
}

func TestConnectionsThatEndAreForgotten(t *testing.T) {
	address := bounds(t, 4)
	for range 50 {
		first := hold(t, "127.0.0.1", address)
		_, err := io.WriteString(first, "Connection: close\r\n\r\n")
		require.NoError(t, err)
		answer, err := io.ReadAll(first)
		require.NoError(t, err)
		require.Contains(t, string(answer), "page")
	}
}

func clientFrom(from string) *http.Client {
	dial := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network,
		address string) (net.Conn, error) {
		return dial.DialContext(ctx, network, address)
	}}}
}

func ask(t *testing.T, c *http.Client, address string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
	require.NoError(t, err)
	answer, err := c.Do(request)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return string(body)
}

func TestPageConnectionsLeaveDescriptorsToTheRest(t *testing.T) {
	require.Equal(t, 512, connectionsOf(512, 0))
	require.Equal(t, 512, connectionsOf(512, 1<<20))
	require.Equal(t, 256, connectionsOf(512, 1024))
	require.Equal(t, 64, connectionsOf(64, 1024))
}
