package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const maxURL = 4096

// CheckURL parses an endpoint's URL and says what is wrong with its shape. It
// looks nothing up: whether the host may be reached is decided when it is
// dialled. No error shows more of the URL than its host, since paths and
// queries often are the credential.
func CheckURL(raw string, allowHTTP bool) (*url.URL, error) {
	if err := checkText(raw); err != nil {
		return nil, err
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, parseError(err)
	}
	switch strings.ToLower(u.Scheme) {
	case "https":
	case "http":
		if !allowHTTP {
			return nil, errors.New("url is http, and what it carries could be read and changed on the way (use https, or set egress.allow_http = true)")
		}
	case "":
		return nil, errors.New("url has no scheme (start it with https://)")
	default:
		return nil, fmt.Errorf("url has the scheme %s, and only https can be posted to", clip(u.Scheme))
	}
	switch {
	case u.User != nil:
		return nil, errors.New("url contains a user or password before @ (remove it; messages are signed instead)")
	case u.Opaque != "" || u.Host == "":
		return nil, errors.New("url has no host (write https://host/path)")
	case strings.Contains(raw, "#"):
		return nil, errors.New("url has a fragment, which is never sent (remove # and what follows, or write %23)")
	}
	if err := checkHost(u.Hostname()); err != nil {
		return nil, err
	}
	if err := checkPort(u); err != nil {
		return nil, err
	}
	return u, nil
}

func checkText(raw string) error {
	if raw == "" {
		return errors.New("url is empty")
	}
	if len(raw) > maxURL {
		return fmt.Errorf("url is %d bytes long, and %d are allowed", len(raw), maxURL)
	}
	for _, r := range raw {
		switch {
		case r <= ' ' || r == 0x7f:
			return errors.New("url contains white space or a control character (remove it, or write it as %20)")
		case r == '\\':
			return errors.New(`url contains a backslash (use /, or write %5C)`)
		case r > 0x7f:
			return errors.New("url contains a character that is not ASCII (write the host in punycode, xn--…, and the path percent-encoded)")
		}
	}
	return nil
}

// parseError keeps of url.Parse's error what cannot contain the URL.
func parseError(err error) error {
	var pe *url.Error
	if errors.As(err, &pe) {
		err = pe.Err
	}
	var escape url.EscapeError
	switch {
	case errors.As(err, &escape):
		return fmt.Errorf("url has a broken percent escape %s (write a plain %% as %%25)", clip(string(escape)))
	case strings.Contains(err.Error(), "port"):
		return errors.New("url has a port that is not a number")
	case strings.Contains(err.Error(), "scheme"):
		return errors.New("url has no scheme (start it with https://)")
	case strings.Contains(err.Error(), "userinfo"):
		return errors.New("url contains a user or password before @ (remove it; messages are signed instead)")
	}
	return errors.New("url has a malformed host (write https://host/path)")
}

func checkHost(host string) error {
	if strings.Contains(host, "%") {
		return errors.New("url has an IPv6 zone in its host (use an address without %)")
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if strings.Contains(host, ":") {
		return fmt.Errorf("url's host %s is not an IPv6 address", clip(host))
	}
	name := strings.TrimSuffix(host, ".")
	if name == "" || len(name) > 253 {
		return fmt.Errorf("url's host must be 1 to 253 characters long, and is %d", len(name))
	}
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 {
			return fmt.Errorf("url's host %s has a part that is empty or longer than 63 characters", clip(host))
		}
		for _, c := range []byte(l) {
			if !isAlnum(c) && c != '-' && c != '_' {
				return fmt.Errorf("url's host %s contains %s, which no host name does", clip(host), clip(string(c)))
			}
		}
	}
	// 127.1, 0x7f000001, 2130706433 and 127.0.0.1. are addresses to some resolvers.
	if last := strings.ToLower(labels[len(labels)-1]); isNumber(last) {
		return fmt.Errorf("url's host %s is a number but not a full IP address (write four decimal parts, such as 192.0.2.7)", clip(host))
	}
	return nil
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isNumber(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

func checkPort(u *url.URL) error {
	p := u.Port()
	if p == "" {
		if strings.HasSuffix(u.Host, ":") {
			return errors.New("url has a colon without a port after its host")
		}
		return nil
	}
	if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("url's port %s is not between 1 and 65535", clip(p))
	}
	return nil
}

// shown is a URL as it may be printed: the path and the query can be secrets.
func shown(u *url.URL) string { return u.Scheme + "://" + u.Host + "/..." }
