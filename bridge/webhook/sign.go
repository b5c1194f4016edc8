package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
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

// The headers of the other schemes.
const (
	headerHub         = "X-Hub-Signature-256"
	headerHubDelivery = "X-Github-Delivery"
	headerStripe      = "Stripe-Signature"
	headerDigest      = "Content-Digest"
	headerInput       = "Signature-Input"
	headerMessage     = "Signature"
)

// The versions of Standard Webhooks, as a signature begins.
const (
	versionHMAC    = "v1,"  // HMAC-SHA256
	versionEd25519 = "v1a," // ed25519
)

// Sign returns the Standard Webhooks signature of one attempt, v1 and base64:
// the HMAC-SHA256 of id, ts in whole seconds, and body, joined by dots. The id
// must not contain a dot.
func Sign(secret Secret, id string, ts time.Time, body []byte) string {
	return string(appendSignature(nil, secret.bytes(), id, strconv.FormatInt(ts.Unix(), 10), body))
}

func appendSignature(dst, key []byte, id, ts string, body []byte) []byte {
	var sum [sha256.Size]byte
	dst = append(dst, versionHMAC...)
	return base64.StdEncoding.AppendEncode(dst, mac(sum[:0], key, standardHead(make([]byte, 0, 96), id, ts), body))
}

// appendSignatureV1a signs what v1 signs, with a private key.
func appendSignatureV1a(dst []byte, key ed25519.PrivateKey, id, ts string, body []byte) []byte {
	dst = append(dst, versionEd25519...)
	return base64.StdEncoding.AppendEncode(dst, ed25519.Sign(key, append(standardHead(nil, id, ts), body...)))
}

// standardHead is what Standard Webhooks signs before the body.
func standardHead(dst []byte, id, ts string) []byte {
	dst = append(dst, id...)
	dst = append(dst, '.')
	dst = append(dst, ts...)
	return append(dst, '.')
}

// hubSignature is GitHub's: of the body alone, with the secret's text.
func hubSignature(secret Secret, body []byte) string {
	return "sha256=" + hex.EncodeToString(mac(nil, secret.text(), nil, body))
}

// appendStripe appends one entry of Stripe's: of the time and the body, with the
// secret's text.
func appendStripe(dst []byte, secret Secret, ts string, body []byte) []byte {
	dst = append(dst, ",v1="...)
	return hex.AppendEncode(dst, mac(nil, secret.text(), []byte(ts+"."), body))
}

// mac appends the HMAC-SHA256 of head and body.
func mac(dst, key, head, body []byte) []byte {
	h := newMAC(key)
	_, _ = h.Write(head) // a hash never fails
	_, _ = h.Write(body)
	return h.Sum(dst)
}

func newMAC(key []byte) hash.Hash { return hmac.New(sha256.New, key) }
