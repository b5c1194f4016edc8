package broker

import (
	"bytes"
	"testing"
)

// login is a CONNECT with a user name and an empty password.
func login(version byte, user string) []byte {
	body := [][]byte{str("MQTT"), {version, 128 | 64 | 2, 0, 60}}
	if version == 5 {
		body = append(body, []byte{0})
	}
	return frame(tConnect<<4, append(body, str("d1"), str(user), str(""))...)
}

func TestEmptyPasswordIsAPassword(t *testing.T) {
	f := func(e *Embedded, version, want byte) {
		t.Helper()
		w := dialWire(t, e)
		w.send(login(version, "d"))
		if got := w.expect(tConnack)[1]; got != want {
			t.Errorf("version %d: code %#x, want %#x", version, got, want)
		}
		_ = w.Close()
	}
	closed := serve(t, EmbeddedOptions{Users: oneUser(t, "d", nil, nil)}, safe)
	f(closed, 4, 5)
	f(closed, 5, 0x87)
	open := serve(t, EmbeddedOptions{}, safe)
	f(open, 4, 0)
	f(open, 5, 0)
}

func TestRefusalIsInTheClientsLanguage(t *testing.T) {
	e := serve(t, EmbeddedOptions{}, safe)
	f := func(what string, packet, want []byte) {
		t.Helper()
		w := dialWire(t, e)
		for i := range packet { // byte by byte: a head may come in pieces
			if _, err := w.Write(packet[i : i+1]); err != nil {
				break // it knows enough and has hung up
			}
		}
		if want == nil {
			w.expectClosed(tConnack)
			return
		}
		kind, body, err := w.receive()
		if err != nil || kind != tConnack || !bytes.Equal(body, want) {
			t.Errorf("%s: received kind %d (% x), %v; want % x", what, kind, body, err, want)
		}
		w.expectClosed()
	}
	connect := func(name string, level, flags byte, rest ...[]byte) []byte {
		return frame(tConnect<<4, append([][]byte{str(name), {level, flags, 0, 60}}, rest...)...)
	}
	unspoken := []byte{0, 1}
	f("level 0", connect("MQTT", 0, 2, str("d1")), unspoken)
	f("level 3 of MQTT", connect("MQTT", 3, 2, str("d1")), unspoken)
	f("level 4 of 3.1", connect("MQIsdp", 4, 2, str("d1")), unspoken)
	f("level 6", connect("MQTT", 6, 2, str("d1")), unspoken)
	f("level 6, laid out as 5", connect("MQTT", 6, 2, []byte{5, 17, 0, 0, 0, 9}, str("d1")), unspoken)
	f("bridge of 3.1.1", connect("MQTT", 0x84, 2, str("d1")), unspoken)
	f("bridge of 5", connect("MQTT", 0x85, 2, []byte{0}, str("d1")), []byte{0, 0x84, 0})
	f("no id, session to be kept", connect("MQTT", 4, 0, str("")), []byte{0, 2})
	f("another protocol", connect("HTTP", 4, 2, str("d1")), nil)
	f("reserved flag", connect("MQTT", 4, 3, str("d1")), nil)
}
