package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"strconv"
	"time"
)

// The headers of Standard Webhooks, in the spelling of [net/http.Header].
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

const scheme = "v1," // HMAC-SHA256

// Sign returns the Standard Webhooks signature of one attempt, v1 and base64:
// the HMAC-SHA256 of id, ts in whole seconds, and body, joined by dots. The id
// must not contain a dot.
func Sign(secret Secret, id string, ts time.Time, body []byte) string {
	return string(appendSignature(nil, secret.bytes(), id, strconv.FormatInt(ts.Unix(), 10), body))
}

func appendSignature(dst, key []byte, id, ts string, body []byte) []byte {
	var sum [sha256.Size]byte
	dst = append(dst, scheme...)
	return base64.StdEncoding.AppendEncode(dst, mac(sum[:0], key, id, ts, body))
}

func mac(dst, key []byte, id, ts string, body []byte) []byte {
	head := make([]byte, 0, 96)
	head = append(head, id...)
	head = append(head, '.')
	head = append(head, ts...)
	head = append(head, '.')
	h := newMAC(key)
	_, _ = h.Write(head) // a hash never fails
	_, _ = h.Write(body)
	return h.Sum(dst)
}

func newMAC(key []byte) hash.Hash { return hmac.New(sha256.New, key) }
