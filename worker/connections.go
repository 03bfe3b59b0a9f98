package main

import (
	"container/list"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// connections is a listener that limits how many connections are open, in all and per address: somebody who opens many
// and sends little uses up neither the file descriptors of the process nor more than a share of the page. A connection
// beyond the limit replaces the one that has been idle longest, or is closed at once.
type connections struct {
	net.Listener
	max, maxByAddress int

	mu        sync.Mutex
	open      map[net.Conn]*connection
	byAddress map[string]int
	idle      *list.List // of *connection, the longest first
}

// limitConnections limits a listener's connections. Its server must report their states to [connections.track].
func limitConnections(l net.Listener, most int) *connections {
	return &connections{
		Listener: l, max: most, maxByAddress: max(most/4, 1),
		open: make(map[net.Conn]*connection), byAddress: make(map[string]int), idle: list.New(),
	}
}

// Accept waits for the next connection that may be served.
func (c *connections) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := c.admit(conn); admitted != nil {
			return admitted, nil
		}
		_ = conn.Close()
	}
}

func (c *connections) admit(conn net.Conn) net.Conn {
	address := addressOf(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byAddress[address] >= c.maxByAddress && !c.closeIdle(address) {
		return nil
	}
	if len(c.open) >= c.max && !c.closeIdle("") {
		return nil
	}
	admitted := &connection{Conn: conn, of: c, address: address}
	c.open[admitted] = admitted
	c.byAddress[address]++
	return admitted
}

// closeIdle closes the connection that has been idle longest, among those of the address unless that is empty.
func (c *connections) closeIdle(address string) bool {
	for e := c.idle.Front(); e != nil; e = e.Next() {
		if idle := e.Value.(*connection); address == "" || idle.address == address {
			c.forget(idle)
			_ = idle.Conn.Close()
			return true
		}
	}
	return false
}

// track is the server's ConnState.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.open[conn]
	switch {
	case known == nil:
	case state == http.StateIdle:
		known.idle = c.idle.PushBack(known)
	default:
		c.busy(known)
	}
}

func (c *connections) busy(conn *connection) {
	if conn.idle != nil {
		c.idle.Remove(conn.idle)
		conn.idle = nil
	}
}

func (c *connections) forget(conn *connection) {
	if c.open[conn] == nil {
		return
	}
	c.busy(conn)
	delete(c.open, conn)
	if c.byAddress[conn.address]--; c.byAddress[conn.address] == 0 {
		delete(c.byAddress, conn.address)
	}
}

// connection is counted until it is closed.
type connection struct {
	net.Conn
	of      *connections
	address string
	idle    *list.Element // nil while it is in use
}

func (c *connection) Close() error {
	c.of.mu.Lock()
	c.of.forget(c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// addressOf returns the address that a connection counts for. Of an IPv6 address that is the network: a client has as
// many addresses within it as it likes.
func addressOf(conn net.Conn) string {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return conn.RemoteAddr().String()
	}
	address := from.Addr().Unmap().WithZone("")
	if address.Is4() {
		return address.String()
	}
	network, _ := address.Prefix(64) // always possible for an IPv6 address
	return network.String()
}
