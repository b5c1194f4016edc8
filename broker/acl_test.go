package broker

import (
	"strings"
	"testing"
)

func TestAllowedFilterCoversNoMoreThanItSays(t *testing.T) {
	f := func(allowed, filter string, want bool) {
		t.Helper()
		if got := covers(allowed, filter); got != want {
			t.Errorf("covers(%q, %q) = %v", allowed, filter, got)
		}
	}
	f("a/b", "a/b", true)
	f("a/b", "a/c", false)
	f("a/b", "a", false)
	f("a/b", "a/b/c", false)
	f("a/+", "a/b", true)
	f("a/+", "a/+", true)
	f("a/+", "a/#", false)
	f("a/+", "a", false)
	f("a/+", "a/b/c", false)
	f("a/+", "a/", true)
	f("a/#", "a", true)
	f("a/#", "a/b/c", true)
	f("a/#", "a/+/c", true)
	f("a/#", "a/#", true)
	f("a/#", "+/b", false)
	f("a/#", "ab", false)
	f("#", "a", true)
	f("#", "#", true)
	f("#", "/", true)
	f("#", "$SYS/x", false)
	f("+/x", "$SYS/x", false)
	f("$SYS/#", "$SYS/x", true)
	f("$SYS/#", "#", false)
	f("+", "#", false)
	f("", "a", false)
	f("", "", true) // access lists hold no empty filter
	f("a//b", "a//b", true)
	f("a/+/b", "a//b", true)
}

func TestEmptyAccessListDeniesAll(t *testing.T) {
	for _, topic := range []string{"", "a", "a/b", "#", "$SYS/x"} {
		if coversAny(nil, topic) || coversAny(resolve(nil, "c", "u"), topic) {
			t.Errorf("%q is allowed", topic)
		}
	}
}

func TestPlaceholdersAreWholeLevels(t *testing.T) {
	got := resolve([]string{"dev/%c/#", "%u/+/%c", "a/%%c", "plain"}, "%u", "me")
	if s := strings.Join(got, " "); s != "dev/%u/# me/+/%u a/%%c plain" {
		t.Errorf("resolved to %s", s)
	}
}

// The matrix of who may do what, as Mosquitto decides it for the same lists.
func TestAccessIsAsConfigured(t *testing.T) {
	users := oneUser(t, "sensors", []string{"plants/+/%c/#", "users/%u"}, []string{"cmd/%c/#", "all/+"})
	users["none"] = User{PasswordHash: cheap(t)}
	got := newCollector()
	e := serve(t, EmbeddedOptions{Users: users}, got.handle)
	publish := func(user, topic string, want bool) {
		t.Helper()
		w := connected(t, e, hello{id: "d1", clean: true, user: user, pass: "secret"})
		w.publish(pub{topic: topic, qos: 1, id: 1})
		w.expectAck(tPuback, 1)
		if (len(got.ch) == 1) != want {
			t.Errorf("%s publishes to %s: %v, want %v", user, topic, !want, want)
		}
		for len(got.ch) > 0 {
			<-got.ch
		}
		_ = w.Close()
		e.allGone(t) // another user may have the id next
	}
	publish("sensors", "plants/lyon/d1/t", true)
	publish("sensors", "plants/lyon/d1", true)
	publish("sensors", "plants/lyon/d2/t", false)
	publish("sensors", "plants/lyon/x/d1/t", false)
	publish("sensors", "users/sensors", true)
	publish("sensors", "users/none", false)
	publish("sensors", "cmd/d1/x", false)
	publish("none", "plants/lyon/d1/t", false)

	subscribe := func(version byte, user, filter string, want bool) {
		t.Helper()
		w := connected(t, e, hello{version: version, id: "d1", clean: true, user: user, pass: "secret"})
		w.send(subscribePacket(version, 1, filter, 0))
		body := w.expect(tSuback)
		if code := body[len(body)-1]; (code == 0) != want {
			t.Errorf("v%d %s subscribes to %s: code %#x, want %v", version, user, filter, code, want)
		}
		_ = w.Close()
		e.allGone(t)
	}
	for _, version := range []byte{4, 5} {
		subscribe(version, "sensors", "cmd/d1/#", true)
		subscribe(version, "sensors", "cmd/d1/x", true)
		subscribe(version, "sensors", "$share/g/cmd/d1/#", true)
		subscribe(version, "sensors", "all/+", true)
		subscribe(version, "sensors", "all/#", false)
		subscribe(version, "sensors", "cmd/+/x", false)
		subscribe(version, "sensors", "#", false)
		subscribe(version, "sensors", "$share/g/#", false)
		subscribe(version, "sensors", "$share/g", false)
		subscribe(version, "sensors", "$SYS/#", false)
		subscribe(version, "none", "cmd/d1/x", false)
	}
}

// matches says whether a filter matches a topic, written as the standard says it
// and not as covers does.
func matches(filter, topic []string) bool {
	if len(filter) == 0 {
		return len(topic) == 0
	}
	if filter[0] == "#" {
		return true
	}
	return len(topic) > 0 && (filter[0] == "+" || filter[0] == topic[0]) && matches(filter[1:], topic[1:]) ||
		len(topic) == 1 && len(filter) == 2 && filter[1] == "#" && (filter[0] == "+" || filter[0] == topic[0])
}

// The law: where allowed covers filter, every topic that filter matches is
// matched by allowed. For a topic it is an equivalence.
func FuzzCovers(f *testing.F) {
	f.Add("a/+/#", "a/b", "a/b")
	f.Add("#", "+/+", "a/b")
	f.Add("a/#", "a", "a")
	f.Fuzz(func(t *testing.T, allowed, filter, topic string) {
		if checkFilter(allowed) != nil || checkFilter(filter) != nil || topic == "" || strings.ContainsAny(topic, "+#$") ||
			strings.ContainsAny(allowed, "$%") || strings.ContainsAny(filter, "$%") {
			return
		}
		levels := func(s string) []string { return strings.Split(s, "/") }
		if covers(allowed, filter) && matches(levels(filter), levels(topic)) && !matches(levels(allowed), levels(topic)) {
			t.Errorf("%q covers %q, and yet not its topic %q", allowed, filter, topic)
		}
		if covers(allowed, topic) != matches(levels(allowed), levels(topic)) {
			t.Errorf("covers(%q, %q) = %v", allowed, topic, covers(allowed, topic))
		}
	})
}

// The law: whatever the names, a placeholder stays one level.
func FuzzResolve(f *testing.F) {
	f.Add("a/%c/%u", "client", "user")
	f.Fuzz(func(t *testing.T, filter, client, user string) {
		if checkFilter(filter) != nil || checkName(client) != nil || checkName(user) != nil {
			return
		}
		got := resolve([]string{filter}, client, user)[0]
		if strings.Count(got, "/") != strings.Count(filter, "/") || strings.Count(got, "+") != strings.Count(filter, "+") ||
			strings.Count(got, "#") != strings.Count(filter, "#") {
			t.Errorf("%q with %q, %q became %q", filter, client, user, got)
		}
	})
}
