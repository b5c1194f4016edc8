package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// What the broker refuses of a hash: more work than one login may cost.
const (
	maxHashPasses = 64
	maxHashMemory = 256 * 1024 // KiB
)

func (l *loader) checkBroker() {
	b := &l.config.Broker
	if !l.oneOf(keys("broker.mode"), b.Mode, Embedded, External) {
		return
	}
	_, embedded := l.main.places[pathKey(keys("broker.embedded"))]
	_, external := l.main.places[pathKey(keys("broker.external"))]
	switch {
	case b.Mode == External && embedded:
		l.main.warnKey(keys("broker.embedded"), "the embedded broker is off", `set broker.mode = "embedded", or remove the table`)
	case b.Mode == Embedded && external:
		l.main.warnKey(keys("broker.external"), "the external broker is not used", `set broker.mode = "external", or remove the table`)
	}
	if b.Mode == External {
		l.checkExternal(&b.External)
	} else {
		l.checkEmbedded(&b.Embedded)
	}
}

func (l *loader) checkEmbedded(b *EmbeddedBroker) {
	at := func(dotted string) []string { return keys("broker.embedded." + dotted) }
	plain := l.listen(at("listen"), b.Listen)
	tls := l.listen(at("tls.listen"), b.TLS.Listen)
	l.keyPair(at("tls"), &b.TLS.KeyPair)
	if tls && b.TLS.Cert == "" && b.TLS.Key == "" {
		l.main.atValue(at("tls"), "TLS has no certificate", `add cert = "tls/cert.pem" and key = "tls/key.pem"`)
	}
	if b.Listen == "" && b.TLS.Listen == "" {
		l.main.atValue(at("listen"), "every listener is switched off", `set listen = "127.0.0.1:1883"`)
	}
	if _, written := l.main.places[pathKey(at("anonymous"))]; !written && len(b.Users) > 0 {
		b.Anonymous = "never" // who gives passwords out does not expect that none is needed
	}
	if l.oneOf(at("anonymous"), b.Anonymous, "never", "loopback", "always") {
		l.checkAnonymous(b, plain, tls)
	}
	within(l, at("max_packet"), b.MaxPacket, 1<<20)
	within(l, at("max_connections"), b.MaxConnections, 10_000_000)
	within(l, at("per_client.rate"), b.PerClient.Rate, math.MaxInt32)
	within(l, at("per_client.inflight"), b.PerClient.Inflight, 65535)
	for _, name := range slices.Sorted(maps.Keys(b.Users)) {
		l.checkUser(append(at("user"), name), name, b.Users[name])
	}
}

// checkAnonymous refuses a broker whose clients may be nobody to each other
// without the operator having said so.
func (l *loader) checkAnonymous(b *EmbeddedBroker, plain, tls bool) {
	path := keys("broker.embedded.anonymous")
	open := plain && !loopback(b.Listen) || tls && !loopback(b.TLS.Listen)
	users := len(b.Users) > 0
	switch {
	case b.Anonymous == "loopback" && open && !users:
		at := path
		if _, ok := l.main.places[pathKey(path)]; !ok {
			at = keys("broker.embedded.listen")
		}
		l.main.atValue(at, "a listener is reachable from other machines, so nobody may connect without a password, and there are no users",
			`add [broker.embedded.user.NAME] with password = { file = "secrets/NAME.hash" }, which tocsin hash-password makes, or listen on 127.0.0.1`)
	case b.Anonymous == "always" && open:
		l.main.warnValue(path, "everyone on the network may connect and publish", `add users and set anonymous = "never"`)
	case b.Anonymous != "never" && users && !open:
		l.main.warnValue(path, "anybody on this machine may publish anything, in spite of the users", `remove it, or set anonymous = "never"`)
	case b.Anonymous == "never" && !users:
		l.main.atValue(path, "nobody may connect: there are no users", `add [broker.embedded.user.NAME] with password = { file = "secrets/NAME.hash" }, which tocsin hash-password makes`)
	}
}

func (l *loader) checkUser(path []string, name string, u *User) {
	if len(name) > 256 || strings.ContainsAny(name, "+#/") ||
		strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		l.main.atKey(path, fmt.Sprintf("%q cannot be the name of a user", name),
			"use up to 256 visible characters, and no +, # or /, which mean something in a topic")
	}
	password := under(path, "password")
	switch {
	case l.secret(password, &u.Password):
		if err := checkHash(u.Password.Reveal()); err != nil {
			l.main.leaf(password, err, "make one with: tocsin hash-password")
		}
	case !u.Password.written() && !l.main.undecoded(password):
		l.main.atValue(password, "the user has no password", `add password = { file = "secrets/`+name+`.hash" }, made with: tocsin hash-password`)
	}
	for key, list := range map[string][]string{"publish": u.Publish, "subscribe": u.Subscribe} {
		for i, filter := range list {
			at := under(path, key, fmt.Sprint(i))
			if err := checkFilter(filter); err != nil {
				l.main.leaf(at, err, "")
			} else if key == "publish" && strings.HasPrefix(filter, "$") {
				l.main.atValue(at, fmt.Sprintf("%q begins with $, and such topics belong to the broker", filter), "remove it")
			}
		}
	}
	if len(u.Publish) == 0 && len(u.Subscribe) == 0 &&
		!l.main.undecoded(under(path, "publish")) && !l.main.undecoded(under(path, "subscribe")) {
		l.main.warnKey(path, fmt.Sprintf("user %q may do nothing", name), `add publish = ["plants/%c/#"]`)
	}
}

// checkFilter checks a topic filter in which %c and %u stand for whole levels.
func checkFilter(filter string) error {
	if filter == "" || len(filter) > 65535 || strings.ContainsRune(filter, 0) {
		return fmt.Errorf("the topic filter is empty or too long (write one as in \"plants/%%c/#\")")
	}
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		switch {
		case level == "+", level == "%c", level == "%u", level == "#" && i == len(levels)-1:
		case strings.ContainsAny(level, "#+"):
			return fmt.Errorf("%q is no level of a topic filter (+ must be a whole level, and # the whole last one)", level)
		case strings.Contains(level, "%c"), strings.Contains(level, "%u"):
			return fmt.Errorf("%q is no level of a topic filter (%%c and %%u must be whole levels)", level)
		}
	}
	return nil
}

// checkHash checks the shape of an argon2id hash without showing any of it.
func checkHash(hash string) error {
	bad := func(what string) error {
		return fmt.Errorf("the password's hash %s (make one with: tocsin hash-password)", what)
	}
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return errors.New("the password is not an argon2id hash (make one with: tocsin hash-password)")
	}
	if parts[2] != "v=19" {
		return bad("is of another version of argon2id")
	}
	var memory, passes, threads int
	_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &threads)
	switch {
	case err != nil, parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", memory, passes, threads):
		return bad("has no parameters that can be read")
	case passes < 1, passes > maxHashPasses, threads < 1, threads > 255, memory < 8*threads, memory > maxHashMemory:
		return bad("asks for less or more work than is allowed")
	}
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	key, err2 := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(key) < 16 || len(key) > 128 {
		return errors.New("the password's hash is incomplete (copy all of it, up to the last character)")
	}
	return nil
}

func (l *loader) checkExternal(b *ExternalBroker) {
	at := func(dotted string) []string { return keys("broker.external." + dotted) }
	scheme, err := checkBrokerURL(b.URL)
	if err != nil {
		l.main.leaf(at("url"), err, `write url = "mqtts://broker.example.com:8883"`)
	}
	switch {
	case b.ClientID == "":
		l.main.atValue(at("client_id"), "there is no client id, and the broker keeps what is missed under it",
			`add client_id = "tocsin-1", used by nobody else`)
	case strings.ContainsFunc(b.ClientID, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(b.ClientID) > 65535:
		l.main.atValue(at("client_id"), "the client id has a control character or is too long", `write one as in "tocsin-1"`)
	}
	if l.secret(at("password"), &b.Password) {
		if b.Username == "" {
			l.main.atValue(at("password"), "there is a password without a username", "set username as well")
		}
		if err == nil && (scheme == "mqtt" || scheme == "ws") && !localURL(b.URL) {
			l.main.warnValue(at("url"), "the password crosses the network in the clear", "use mqtts or wss")
		}
	}
	if strings.ContainsAny(b.Share, "/+#") {
		l.main.atValue(at("share"), fmt.Sprintf("%q cannot be the name of a share", b.Share), "use no /, + or #")
	}
	if ca := b.TLS.CA; ca != "" {
		b.TLS.CA = l.resolve(ca)
		if _, err := b.TLS.Roots(); l.readable(at("tls.ca"), ca) && err != nil {
			l.main.leaf(at("tls.ca"), err, "name a PEM file of certificates")
		}
	}
	l.keyPair(at("tls"), &b.TLS.KeyPair)
	if err == nil && (scheme == "mqtt" || scheme == "ws") && (b.TLS.CA != "" || b.TLS.Cert != "") {
		l.main.atValue(at("tls"), "TLS is set up, and the url is not of TLS", "use mqtts or wss in the url, or remove tls")
	}
}

// checkBrokerURL checks the shape of a broker's URL. Errors do not show it.
func checkBrokerURL(raw string) (scheme string, err error) {
	if raw == "" {
		return "", fmt.Errorf(`url is missing (add url = "mqtts://broker.example.com:8883")`)
	}
	u, parseErr := url.Parse(raw)
	switch {
	case parseErr != nil:
		return "", fmt.Errorf("url cannot be read")
	case !slices.Contains([]string{"mqtt", "mqtts", "ws", "wss"}, u.Scheme):
		return "", fmt.Errorf("url begins with none of mqtt://, mqtts://, ws://, wss://")
	case u.User != nil:
		return "", fmt.Errorf("url contains a user or password before @ (set username and password instead)")
	case u.Hostname() == "":
		return "", fmt.Errorf("url has no host")
	case u.Port() != "" && (!validPort(u.Port()) || u.Port() == "0"):
		return "", fmt.Errorf("url's port is not between 1 and 65535")
	case u.Fragment != "", strings.HasPrefix(u.Scheme, "mqtt") && strings.Trim(u.Path, "/") != "":
		return "", fmt.Errorf("url has something behind its host and port (remove it)")
	}
	return u.Scheme, nil
}

func localURL(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && loopback(u.Hostname()+":0")
}
