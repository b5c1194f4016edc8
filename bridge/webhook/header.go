package webhook

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// maxHeaders bounds the headers of a configuration, and maxHeaderValue each of
// them: servers refuse heads of more than 8 KiB or so.
const (
	maxHeaders     = 64
	maxHeaderValue = 4096
)

// headerHop counts how often a message was handed on. Our own API answers none
// that carries it: an endpoint whose URL leads back to us, through whatever name
// and proxy, is a loop of one hop.
const headerHop = "Webhook-Hop"

// headerTrace names the attempt in its trace, as W3C Trace Context has it.
const headerTrace = "Traceparent"

// CheckHeader says what is wrong with a header of a configuration. No error
// shows its value.
func CheckHeader(name, value string) error {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case !isToken(name):
		return fmt.Errorf("%s is no name of a header (use letters, digits and -)", clip(name))
	case canonical == "Authorization", canonical == "Proxy-Authorization":
		return fmt.Errorf("header %s holds a credential, and headers are not kept secret (write it under auth)", clip(name))
	case reserved(canonical):
		return fmt.Errorf("header %s is set by tocsin itself (remove it)", clip(name))
	}
	return checkHeaderValue(name, value)
}

func checkHeaderValue(name, value string) error {
	switch {
	case !visible(value):
		return fmt.Errorf("the value of header %s contains a line end, or another character that is not visible ASCII (remove it)", clip(name))
	case len(value) > maxHeaderValue:
		return fmt.Errorf("the value of header %s is %d bytes long, and %d are allowed", clip(name), len(value), maxHeaderValue)
	case strings.TrimSpace(value) != value:
		return fmt.Errorf("the value of header %s begins or ends with white space, which would not arrive (remove it)", clip(name))
	}
	return nil
}

// checkHeaders returns the headers by canonical name.
func checkHeaders(headers map[string]string) (http.Header, error) {
	if len(headers) > maxHeaders {
		return nil, fmt.Errorf("%d headers are given, and %d are allowed", len(headers), maxHeaders)
	}
	h := make(http.Header, len(headers))
	for name, value := range headers {
		if err := CheckHeader(name, value); err != nil {
			return nil, err
		}
		if h.Get(name) != "" {
			return nil, fmt.Errorf("header %s is given twice", clip(name))
		}
		h.Set(name, value)
	}
	return h, nil
}

// CheckAuth says what is wrong with a header that carries a credential. The
// name may be empty, as in [Auth].
func CheckAuth(name string, value Credential) error {
	name = cmp.Or(name, "Authorization")
	switch canonical := http.CanonicalHeaderKey(name); {
	case !isToken(name):
		return fmt.Errorf("%s is no name of a header (use letters, digits and -)", clip(name))
	case canonical != "Authorization" && reserved(canonical):
		return fmt.Errorf("header %s is set by tocsin itself (name the header that the receiver reads its key from)", clip(name))
	case value.IsZero():
		return fmt.Errorf("header %s has no value", clip(name))
	}
	return checkHeaderValue(name, value.Reveal())
}

func (a *Auth) check() error {
	switch {
	case a.OAuth2 != nil && (!a.Value.IsZero() || a.Header != ""):
		return errors.New("auth has both OAuth2 and a header, and a request carries one of them")
	case a.OAuth2 != nil:
		return a.OAuth2.check()
	case a.Value.IsZero() && a.Header == "":
		return nil
	}
	return CheckAuth(a.Header, a.Value)
}
