package webhook

import (
	"crypto/hmac"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A messageSignature is one signature of RFC 9421 that a request carries.
type messageSignature struct {
	params     string // as written: it is signed too
	components []string
	alg        string // "" when it does not say
	created    time.Time
	signature  []byte
}

// verifyMessage verifies signatures of RFC 9421. What [signing] covers has to be
// covered: a signature that leaves the body or the URL out says nothing of them.
// A request may carry others' signatures too, such as a proxy's: what is not
// understood of them matters only when none is ours.
func verifyMessage(k Keys, r *Request, o VerifyOptions) error {
	list, problem := readMessage(r)
	for _, m := range list {
		ok, err := m.signedBy(k, r)
		switch {
		case err != nil && problem == nil:
			problem = err
		case ok:
			if err := checkDigest(r); err != nil {
				return err
			}
			return o.age(m.created)
		}
	}
	if problem != nil {
		return problem
	}
	return fmt.Errorf("%w: %d signature(s) of RFC 9421 against %d key(s)", ErrSignature, len(list), len(k.Secrets)+len(k.Public))
}

func (m *messageSignature) signedBy(k Keys, r *Request) (bool, error) {
	base, err := signatureBase(m.components, r.component, m.params)
	if err != nil {
		return false, err
	}
	ok := false
	if m.alg == algHMAC || m.alg == "" {
		for _, s := range k.Secrets {
			if s.bytes() != nil {
				ok = hmac.Equal(m.signature, mac(nil, s.bytes(), base, nil)) || ok
			}
		}
	}
	if m.alg == algEd25519 || m.alg == "" {
		for _, p := range k.Public {
			ok = p.verifies(base, m.signature) || ok
		}
	}
	return ok, nil
}

// checkDigest compares the body with the digest that was signed in its stead.
func checkDigest(r *Request) error {
	members, err := dictionary(r.Header.Values(headerDigest))
	if err != nil {
		return fmt.Errorf("%w: content-digest %w", ErrHeader, err)
	}
	i := slices.IndexFunc(members, func(m member) bool { return m.key == "sha-256" })
	if i < 0 {
		return fmt.Errorf("%w: content-digest has no sha-256", ErrHeader)
	}
	if !hmac.Equal([]byte("sha-256="+members[i].value), []byte(contentDigest(r.Body))) {
		return fmt.Errorf("%w: the body is not the one that content-digest was made of", ErrSignature)
	}
	return nil
}

// readMessage returns the signatures that it understands, and what is wrong with
// the first that it does not.
func readMessage(r *Request) (list []messageSignature, problem error) {
	inputs, err := dictionary(r.Header.Values(headerInput))
	if err != nil {
		return nil, fmt.Errorf("%w: signature-input %w", ErrHeader, err)
	}
	signatures, err := dictionary(r.Header.Values(headerMessage))
	if err != nil {
		return nil, fmt.Errorf("%w: signature %w", ErrHeader, err)
	}
	if len(inputs) == 0 {
		return nil, fmt.Errorf("%w: signature-input is missing", ErrHeader)
	}
	for _, in := range inputs {
		var m messageSignature
		err := fmt.Errorf("%w: signature has no %s, which signature-input has", ErrHeader, clip(in.key))
		if i := slices.IndexFunc(signatures, func(m member) bool { return m.key == in.key }); i >= 0 {
			m, err = readMessageSignature(in, signatures[i])
		}
		switch {
		case err == nil:
			list = append(list, m)
		case problem == nil:
			problem = err
		}
	}
	return list, problem
}

func readMessageSignature(in, sig member) (messageSignature, error) {
	m := messageSignature{params: in.value}
	components, params, err := signatureInput(in.value)
	if err != nil {
		return m, fmt.Errorf("%w: signature-input %w", ErrHeader, err)
	}
	m.components, m.alg = components, params["alg"]
	if m.signature, err = byteSequence(sig.value); err != nil {
		return m, fmt.Errorf("%w: signature %w", ErrHeader, err)
	}
	for _, c := range covered() {
		if !slices.Contains(components, c) {
			return m, fmt.Errorf("%w: signature-input does not cover %s", ErrHeader, c)
		}
	}
	for i, c := range components {
		if slices.Contains(components[:i], c) {
			return m, fmt.Errorf("%w: signature-input covers %s twice", ErrHeader, clip(c))
		}
		if strings.ToLower(c) != c {
			return m, fmt.Errorf("%w: signature-input covers %s, which is not in lower case", ErrHeader, clip(c))
		}
	}
	m.created, err = readSeconds("created= of signature-input", params["created"])
	return m, err
}
