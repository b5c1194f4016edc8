package webhook

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

const (
	leastHidden = 6  // what is shorter would be found everywhere
	tokenLike   = 16 // from this length on a part of a path is more than a word
)

// A hider takes an endpoint's credentials out of what its receiver answers.
// Receivers quote requests, in pages for errors and in answers for debugging, and
// answers are kept and shown.
type hider struct {
	texts [][]byte // the longest first, so that none is found in part
}

func newHider(o *Options, u *url.URL) hider {
	var h hider
	h.add(u.EscapedPath())
	for part := range strings.SplitSeq(u.EscapedPath(), "/") {
		if len(part) >= tokenLike { // a shorter one may be a word that answers have too
			h.add(part)
		}
	}
	h.add(u.RawQuery)
	for _, values := range u.Query() {
		h.add(values...)
	}
	for _, s := range o.Secrets {
		h.add(s.Reveal(), strings.TrimPrefix(s.Reveal(), secretPrefix))
	}
	h.addValue(o.Auth.Value.Reveal())
	if a := o.Auth.OAuth2; a != nil {
		h.add(a.ClientSecret.Reveal(), a.RefreshToken.Reveal())
	}
	if o.Proxy != nil {
		h.addValue(Basic(o.Proxy.User, o.Proxy.Password).Value.Reveal()) // by which it may answer in the endpoint's place
	}
	for _, value := range o.Headers {
		h.addValue(value)
	}
	for _, c := range o.Hide {
		h.add(c.Reveal())
	}
	h.sort()
	return h
}

func (h *hider) sort() {
	slices.SortFunc(h.texts, func(a, b []byte) int { return cmp.Or(len(b)-len(a), bytes.Compare(a, b)) })
	h.texts = slices.CompactFunc(h.texts, bytes.Equal)
}

// addValue adds the value of a header: with its scheme, if it has one, and
// without, and the password of basic authentication.
func (h *hider) addValue(value string) {
	scheme, rest, ok := strings.Cut(value, " ")
	h.add(value)
	if !ok {
		return
	}
	h.add(rest)
	if pair, err := base64.StdEncoding.DecodeString(rest); err == nil && strings.EqualFold(scheme, "Basic") {
		_, password, _ := strings.Cut(string(pair), ":")
		h.add(password)
	}
}

// add adds texts in the forms in which a receiver may quote them.
func (h *hider) add(texts ...string) {
	for _, text := range texts {
		if len(text) < leastHidden {
			continue
		}
		quoted, _ := json.Marshal(text) // a text always has a form
		plain := text
		if u, err := url.PathUnescape(text); err == nil {
			plain = u
		}
		for _, form := range []string{text, plain, url.QueryEscape(plain), url.PathEscape(plain), string(quoted[1 : len(quoted)-1])} {
			h.texts = append(h.texts, []byte(form))
		}
	}
}

// hide returns the beginning of an answer without what it quotes of credentials,
// those included that were not known before: access tokens. Of an answer that was
// cut short the end goes too, where that may be the beginning of one.
func (h *hider) hide(answer []byte, cut bool, more ...Credential) []byte {
	if len(answer) == 0 {
		return answer
	}
	texts := h.texts
	var others hider
	for _, c := range more {
		others.addValue(c.Reveal())
	}
	if len(others.texts) > 0 {
		others.texts = append(others.texts, texts...)
		others.sort()
		texts = others.texts
	}
	for _, text := range texts {
		if bytes.Contains(answer, text) {
			answer = bytes.ReplaceAll(answer, text, []byte(redacted))
		}
	}
	if !cut {
		return answer
	}
	for _, text := range texts {
		for n := min(len(text)-1, len(answer)); n >= leastHidden-2; n-- {
			if bytes.HasSuffix(answer, text[:n]) {
				return append(answer[:len(answer)-n:len(answer)-n], redacted...)
			}
		}
	}
	return answer
}
