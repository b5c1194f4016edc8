package broker

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A diary keeps, in order, who came and went and what was handled.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) write(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) client(ev ClientEvent) {
	kinds := []string{Connected: "connected", Disconnected: "disconnected", Dropped: "dropped", Closed: "closed"}
	line := ev.Client + " " + kinds[ev.Kind]
	if ev.Reason != "" {
		line += ": " + ev.Reason
	}
	d.write(line)
}

func (d *diary) handle(m Message) Receipt {
	line := m.Client + " says " + string(bytes.Clone(m.Payload))
	if m.Will {
		line += " by will"
	}
	d.write(line)
	return nil
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

func (d *diary) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := d.read(); !slices.Equal(got, want) {
		t.Errorf("the diary reads\n%q\nwant\n%q", got, want)
	}
}

func TestWhoComesAndGoesIsTold(t *testing.T) {
	reading := publishPacket(pub{topic: "a", qos: 1, id: 1, payload: "21"})
	for name, test := range map[string]struct {
		hello hello
		end   func(w *wire)
		want  []string
	}{
		"a goodbye": {hello{id: "d", clean: true, will: "w"}, func(w *wire) { w.send(frame(tDisconnect << 4)) },
			[]string{"d disconnected"}},
		"a socket that closes": {hello{id: "d", clean: true}, func(w *wire) { _ = w.Close() },
			[]string{"d dropped: connection dropped"}},
		"a will": {hello{id: "d", clean: true, will: "w"}, func(w *wire) { _ = w.Close() },
			[]string{"d says gone by will", "d dropped: connection dropped"}},
		"nothing any more": {hello{id: "d", keepalive: 10}, func(*wire) { time.Sleep(20 * time.Second) },
			[]string{"d dropped: keep-alive expired"}},
		"nonsense": {hello{id: "d"}, func(w *wire) { w.send([]byte{0xf0, 0}) }, // AUTH
			[]string{"d dropped: protocol error: malformed packet: reason code"}},
	} {
		t.Run(name, func(t *testing.T) {
			var d diary
			inBubble(t, EmbeddedOptions{Clients: d.client}, d.handle, func(t *testing.T, _ *Embedded, dial func() *wire) {
				w := dial()
				w.hello(test.hello)
				w.send(reading)
				w.expectAck(tPuback, 1)
				test.end(w)
				synctest.Wait()
				d.expect(t, append([]string{"d connected", "d says 21"}, test.want...)...)
			})
		})
	}
}

// A client that comes back before it was missed, a broker that stops, and a
// message that is refused say nothing about a device.
func TestNobodyIsDroppedByUs(t *testing.T) {
	t.Run("coming back", func(t *testing.T) {
		var d diary
		inBubble(t, EmbeddedOptions{Clients: d.client}, d.handle, func(t *testing.T, _ *Embedded, dial func() *wire) {
			dial().hello(hello{id: "d"})
			dial().hello(hello{id: "d"})
			synctest.Wait()
			d.expect(t, "d connected", "d closed", "d connected")
		})
	})
	t.Run("stopping", func(t *testing.T) {
		var d diary
		e, stop := serveUntil(t, EmbeddedOptions{Clients: d.client}, d.handle)
		connected(t, e, hello{id: "d"})
		connected(t, e, hello{id: "e", version: 5})
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		got := d.read()
		slices.Sort(got)
		if want := []string{"d closed", "d connected", "e closed", "e connected"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
	for _, version := range []byte{4, 5} {
		var d diary
		refuse := func(Message) Receipt { return func(context.Context) error { return errors.New("full") } }
		inBubble(t, EmbeddedOptions{Clients: d.client}, refuse, func(t *testing.T, _ *Embedded, dial func() *wire) {
			w := dial()
			w.hello(hello{id: "d", version: version})
			w.publish(pub{topic: "a", qos: 1, id: 1})
			w.expectClosed(tPuback)
			synctest.Wait()
			d.expect(t, "d connected", "d closed")
		})
	}
}

// Who was not let in has not come, and does not go.
func TestStrangersAreNotTold(t *testing.T) {
	var d diary
	inBubble(t, EmbeddedOptions{Clients: d.client}, d.handle, func(t *testing.T, _ *Embedded, dial func() *wire) {
		dial().hello(hello{id: "a/b", version: 5})
		_ = dial().Close()
		w := dial()
		w.send([]byte{0x10})
		time.Sleep(10 * time.Second)
		_ = w.Close()
		synctest.Wait()
		d.expect(t)
	})
}
