package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// The part of RFC 8941, structured fields, that signatures are written in.

// A member is one entry of a dictionary, its value unparsed.
type member struct{ key, value string }

// dictionary splits a header's values into members. A key that comes twice is
// refused: which of the two counts is where verifiers disagree.
func dictionary(values []string) ([]member, error) {
	var members []member
	rest := strings.Trim(strings.Join(values, ", "), " \t")
	for rest != "" {
		key, after, ok := strings.Cut(rest, "=")
		if !ok || !isKey(key) {
			return nil, errors.New("is no dictionary of name=value")
		}
		end, err := memberEnd(after)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			if m.key == key {
				return nil, fmt.Errorf("has %s twice", clip(key))
			}
		}
		members = append(members, member{key, strings.TrimRight(after[:end], " \t")})
		if len(members) > maxSignatures {
			return nil, fmt.Errorf("has more than %d entries", maxSignatures)
		}
		if end == len(after) {
			return members, nil
		}
		if rest = strings.TrimLeft(after[end+1:], " \t"); rest == "" {
			return nil, errors.New("ends with a comma")
		}
	}
	return members, nil
}

func isKey(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("_-.*", rune(c)) {
			return false
		}
	}
	return s != ""
}

// memberEnd is where the first comma outside a string is.
func memberEnd(s string) (int, error) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ',':
			return i, nil
		case '"':
			_, n, err := quoted(s[i:])
			if err != nil {
				return 0, err
			}
			i += n - 1
		}
	}
	return len(s), nil
}

// quoted reads the string that s begins with, and says how long it is as written.
func quoted(s string) (text string, n int, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), i + 1, nil
		case c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case c == '\\' || c < ' ' || c > '~':
			return "", 0, errors.New("has a character in a string that does not belong there")
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, errors.New("has a string without its closing quote")
}

// byteSequence reads :base64:, in one spelling only.
func byteSequence(s string) ([]byte, error) {
	text, ok := strings.CutPrefix(s, ":")
	text, end := strings.CutSuffix(text, ":")
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || !end || err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("is not base64 between colons")
	}
	return b, nil
}

// signatureInput reads ("a" "b");name=value;… : what is covered, and parameters,
// strings without their quotes.
func signatureInput(s string) (components []string, params map[string]string, err error) {
	rest, ok := strings.CutPrefix(s, "(")
	if !ok {
		return nil, nil, errors.New("is no list in parentheses")
	}
	for {
		rest = strings.TrimLeft(rest, " ")
		if after, ok := strings.CutPrefix(rest, ")"); ok {
			rest = after
			break
		}
		if !strings.HasPrefix(rest, `"`) {
			return nil, nil, errors.New("is no list of names in quotes")
		}
		name, n, err := quoted(rest)
		if err != nil {
			return nil, nil, err
		}
		rest = rest[n:]
		if rest == "" || rest[0] != ' ' && rest[0] != ')' {
			return nil, nil, fmt.Errorf("asks for a part of %s, which is not understood", clip(name))
		}
		components = append(components, name)
	}
	params, err = parameters(rest)
	return components, params, err
}

// parameters reads ;name=value;…
func parameters(rest string) (map[string]string, error) {
	params := map[string]string{}
	for rest != "" {
		after, ok := strings.CutPrefix(rest, ";")
		name, value, has := strings.Cut(strings.TrimLeft(after, " "), "=")
		if !ok || !has || !isKey(name) {
			return nil, errors.New("has parameters that are not ;name=value")
		}
		if _, twice := params[name]; twice {
			return nil, fmt.Errorf("has the parameter %s twice", clip(name))
		}
		if strings.HasPrefix(value, `"`) {
			text, n, err := quoted(value)
			if err != nil {
				return nil, err
			}
			params[name], rest = text, value[n:]
			continue
		}
		n := strings.IndexByte(value, ';')
		if n < 0 {
			n = len(value)
		}
		params[name], rest = value[:n], value[n:]
	}
	return params, nil
}
