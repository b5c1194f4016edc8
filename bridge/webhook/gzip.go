package webhook

import (
	"bytes"
	"compress/gzip"
	"sync"
)

// A packer compresses bodies, each time to the same bytes. A nil packer leaves
// them as they are.
type packer struct {
	writers sync.Pool // of *gzip.Writer: one takes most of a megabyte
}

func newPacker(on bool) *packer {
	if !on {
		return nil
	}
	return &packer{sync.Pool{New: func() any { return gzip.NewWriter(nil) }}}
}

// pack returns the body as it is sent, and the Content-Encoding that says so.
// What does not become smaller is left as it is.
func (p *packer) pack(body []byte) (packed []byte, encoding string) {
	if p == nil || len(body) == 0 {
		return body, ""
	}
	z := p.writers.Get().(*gzip.Writer)
	defer p.writers.Put(z)
	var b bytes.Buffer
	z.Reset(&b)
	_, err := z.Write(body)
	if err != nil || z.Close() != nil || b.Len() >= len(body) {
		return body, ""
	}
	return b.Bytes(), "gzip"
}
