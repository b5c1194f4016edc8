// Package decode turns payloads into samples.
package decode
