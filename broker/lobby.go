package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// doorSize is how many connections may be on their way in at once; others
	// wait in the kernel's queue.
	doorSize = 8192
	// lobbySize is how many of them may be saying who they are: what they send
	// takes memory.
	lobbySize = 512
	// shareOf is the part of both that one address may have.
	shareOf = 4
	// lobbyWait is how long a connection that has begun to speak waits for a
	// place in the lobby.
	lobbyWait = 30 * time.Second
)

var errCrowd = errors.New("too many connections from this address that are not yet let in")

// A lobby holds the connections that are not yet let in. A connection that says
// nothing stands at the door and takes no place from those who speak, and no
// address has more than its share, so that others get in whatever one does.
type lobby struct {
	door   chan struct{}
	places chan struct{}

	mu     sync.Mutex
	shares map[netip.Addr]*share // of those who have anybody here
}

// A share is what one address has of the lobby.
type share struct {
	guests int // at the door and in the lobby
	places chan struct{}
}

// A guest is a connection on its way in.
type guest struct {
	lobby  *lobby
	from   netip.Addr
	share  *share
	placed bool
}

// newLobby makes a lobby with so many places at its door.
func newLobby(door int) *lobby {
	return &lobby{
		door:   make(chan struct{}, door),
		places: make(chan struct{}, lobbySize),
		shares: map[netip.Addr]*share{},
	}
}

// arrive lets a connection stand at the door, unless its address has too many
// there. It waits while the door is crowded.
func (l *lobby) arrive(ctx context.Context, from netip.Addr) (*guest, error) {
	select {
	case l.door <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.shares[from]
	if s == nil {
		s = &share{places: make(chan struct{}, lobbySize/shareOf)}
		l.shares[from] = s
	}
	if s.guests >= max(1, cap(l.door)/shareOf) {
		<-l.door
		return nil, errCrowd
	}
	s.guests++
	return &guest{lobby: l, from: from, share: s}, nil
}

// enter waits for a place in the lobby.
func (g *guest) enter(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lobbyWait)
	defer cancel()
	select {
	case g.share.places <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting for others of this address to be let in: %w", ctx.Err())
	}
	select {
	case g.lobby.places <- struct{}{}:
	case <-ctx.Done():
		<-g.share.places
		return fmt.Errorf("waiting for others to be let in: %w", ctx.Err())
	}
	g.placed = true
	return nil
}

// leave is called once, by the goroutine that has called enter.
func (g *guest) leave() {
	if g.placed {
		<-g.lobby.places
		<-g.share.places
	}
	g.lobby.mu.Lock()
	if g.share.guests--; g.share.guests == 0 {
		delete(g.lobby.shares, g.from)
	}
	g.lobby.mu.Unlock()
	<-g.lobby.door
}

// A speaker is a socket whose first byte may have been read already.
type speaker struct {
	net.Conn
	first  [1]byte
	unread int // bytes of first
}

// listen waits for the first byte.
func (s *speaker) listen(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	n, err := s.Conn.Read(s.first[:])
	s.unread = n
	if n > 0 {
		return nil
	}
	return err
}

func (s *speaker) Read(p []byte) (int, error) {
	if s.unread == 0 || len(p) == 0 {
		return s.Conn.Read(p)
	}
	n := copy(p, s.first[:s.unread])
	s.unread = 0
	return n, nil
}
