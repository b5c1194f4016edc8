package broker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"golang.org/x/time/rate"
)

const (
	// passwordWait is how long a client waits for its password to be looked at.
	passwordWait = 15 * time.Second
	// takeoverWait is how long a client waits for an older connection of its id.
	takeoverWait = 5 * time.Second
	// maxKeepalive is the longest in seconds that the library can add a half to.
	maxKeepalive = 43690
	// maxSession is how long in seconds the session of an absent client is kept.
	maxSession = 24 * 60 * 60
	// willMargin is the least in seconds between a delayed Will and the end of
	// its session.
	willMargin = 2
)

// A refusal is why a client was not let in: a short reason for the metric and
// the rest for the log.
type refusal struct {
	reason string
	error
}

func refused(reason string, format string, args ...any) error {
	return &refusal{reason, fmt.Errorf(format, args...)}
}

// admit decides whether a client may connect. What it grants is written to c
// before anybody else can see the connection.
func (e *Embedded) admit(c *conn, pk packets.Packet) (packets.Code, error) {
	cl := c.client
	if pk.Properties.AuthenticationMethod != "" {
		return packets.ErrBadAuthenticationMethod, refused("method", "authentication method %q is not known", pk.Properties.AuthenticationMethod)
	}
	if err := checkName(cl.ID); err != nil {
		return packets.ErrClientIdentifierNotValid, refused("client_id", "client id %w", err)
	}
	if err := checkName(string(pk.Connect.Username)); err != nil {
		return packets.ErrNotAuthorized, refused("credentials", "user name %w", err)
	}
	if err := e.authenticate(c, pk); err != nil {
		return packets.ErrNotAuthorized, err
	}
	c.leave()
	if w := cl.Properties.Will; w.Flag != 0 {
		if strings.ContainsAny(w.TopicName, "+#") || tooDeep(w.TopicName) || !coversAny(c.publish, w.TopicName) {
			return packets.ErrNotAuthorized, refused("will", "will topic %q is not allowed", w.TopicName)
		}
	}
	if code, err := e.claim(c); err != nil {
		return code, err
	}
	e.prepare(c, pk)
	e.attend(c)
	return packets.CodeSuccess, nil
}

// authenticate finds out who the client is and what it may do.
func (e *Embedded) authenticate(c *conn, pk packets.Packet) error {
	name := string(pk.Connect.Username)
	switch {
	case c.certUser != "":
		u, ok := e.users[c.certUser]
		if !ok || name != "" && name != c.certUser {
			return refused("credentials", "certificate of %q is not of a configured user, or another user is named", c.certUser)
		}
		e.grant(c, c.certUser, u)
		return nil
	case e.anonymous && (name == "" || len(e.users) == 0):
		// Where nobody is configured, names mean nothing.
		c.publish, c.subscribe = []string{"#"}, []string{"#"}
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), passwordWait)
	defer cancel()
	if err := e.passwords.check(ctx, c.from, name, pk.Connect.Password); err != nil {
		reason := "credentials"
		if errors.Is(err, errBanned) {
			reason = "banned"
		}
		return refused(reason, "user %q: %w", name, err)
	}
	e.grant(c, name, e.users[name])
	return nil
}

func (e *Embedded) grant(c *conn, name string, u User) {
	c.user = name
	c.publish = resolve(u.Publish, c.client.ID, name)
	c.subscribe = resolve(u.Subscribe, c.client.ID, name)
}

// claim makes c the only connection of its client id. An older one of the same
// user is closed and waited for, so that all it had taken is settled before the
// session goes on. The session of another user stays that user's.
func (e *Embedded) claim(c *conn) (packets.Code, error) {
	id := c.client.ID
	deadline := time.NewTimer(takeoverWait)
	defer deadline.Stop()
	for {
		e.mu.Lock()
		prev := e.owners[id]
		owner := ""
		if prev != nil {
			owner = prev.user
		} else if old, ok := e.server.Clients.Get(id); ok {
			owner = connOf(old).user
		} else {
			owner = c.user
		}
		if owner != c.user {
			e.mu.Unlock()
			return packets.ErrClientIdentifierNotValid, refused("taken", "client id %q belongs to another user", id)
		}
		if prev == nil {
			defer e.mu.Unlock()
			if len(e.owners) >= e.maxConnections {
				return packets.ErrServerBusy, refused("max_connections", "client id %q: %d clients are connected (raise max_connections)", id, len(e.owners))
			}
			e.owners[id], c.owner = c, true
			return packets.CodeSuccess, nil
		}
		e.mu.Unlock()
		e.hangUp(prev, packets.ErrSessionTakenOver)
		select {
		case <-prev.done:
		case <-c.gone:
			return packets.ErrServerUnavailable, refused("busy", "client id %q: stopping", id)
		case <-deadline.C:
			return packets.ErrServerUnavailable, refused("busy", "client id %q: an older connection does not end", id)
		}
	}
}

// release gives the client id back.
func (e *Embedded) release(c *conn) {
	if c.client == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.owners[c.client.ID] == c {
		delete(e.owners, c.client.ID)
	}
}

// prepare sets up a connection that has its client id to itself.
func (e *Embedded) prepare(c *conn, pk packets.Packet) {
	cl := c.client
	c.seen = &recent{size: e.inflight}
	if old, ok := e.server.Clients.Get(cl.ID); ok {
		ended := old.Properties.Clean && old.Properties.ProtocolVersion < 5
		if seen := connOf(old).seen; seen != nil && !pk.Connect.Clean && !ended {
			c.seen = seen
		}
	} else {
		e.forgetOldest()
	}
	if e.rate > 0 {
		c.limiter = rate.NewLimiter(rate.Limit(e.rate), max(1, int(e.rate)))
	}
	if cl.State.Keepalive > maxKeepalive { // the library overflows and hangs up at once
		cl.State.Keepalive = maxKeepalive
		cl.State.ServerKeepalive = true
	}
	// A Will that outlives its session is never sent by the library.
	session := min(cl.Properties.Props.SessionExpiryInterval, maxSession)
	w := &cl.Properties.Will
	w.WillDelayInterval = min(w.WillDelayInterval, max(session, willMargin)-willMargin)
}

// forgetOldest makes room when clients leave sessions behind and never come back.
func (e *Embedded) forgetOldest() {
	if e.server.Clients.Len() < 2*e.maxConnections {
		return
	}
	var oldest *mqtt.Client
	for _, cl := range e.server.Clients.GetAll() {
		if at := cl.StopTime(); at != 0 && (oldest == nil || at < oldest.StopTime()) {
			oldest = cl
		}
	}
	if oldest == nil {
		return
	}
	e.forget(oldest)
	e.metrics.forgotten.Inc()
}

// forget deletes a session.
func (e *Embedded) forget(cl *mqtt.Client) {
	cl.ClearInflights()
	e.server.UnsubscribeClient(cl)
	e.server.Clients.Delete(cl.ID)
}

// hangUp closes a connection and, under MQTT 5, says why.
func (e *Embedded) hangUp(c *conn, code packets.Code) {
	if c.client.Properties.ProtocolVersion == 5 {
		_ = e.server.DisconnectClient(c.client, code) // it returns the code
		return
	}
	c.client.Stop(code)
}

// subscribed says whether anybody listens on this broker.
func (e *Embedded) subscribed() bool { return atomic.LoadInt64(&e.server.Info.Subscriptions) > 0 }

// refuseConnection counts and, now and then, logs a client that is not let in.
func (e *Embedded) refuseConnection(c *conn, err error) {
	reason := "other"
	if r := (*refusal)(nil); errors.As(err, &r) {
		reason = r.reason
	}
	id := ""
	if c.client != nil {
		id = c.client.ID
	}
	e.turnAway(reason, c.from, id, err)
}

func (e *Embedded) turnAway(reason string, from netip.Addr, client string, err error) {
	e.metrics.turnedAway.WithLabelValues(reason).Inc()
	e.sometimes.Do(func() {
		e.log.Warn("client not let in", "reason", reason, "client", client, "address", from, "error", err)
	})
}

// deny counts a message to a topic that its sender may not publish to, and logs
// the first of a connection.
func (e *Embedded) deny(c *conn, topic string) {
	e.metrics.denied.Inc()
	if c.denied {
		return
	}
	c.denied = true
	e.log.Warn("message dropped: topic is not allowed", "client", c.client.ID, "user", c.user, "topic", topic)
}
