package broker

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
)

// BenchmarkQoS1 is one client at QoS 1 with so many messages under way, through
// the embedded broker and through a bare loop that parses PUBLISH and writes
// PUBACK: what Go and the kernel ask for anyway.
func BenchmarkQoS1(b *testing.B) {
	for _, inflight := range []int{1, 64} {
		b.Run(fmt.Sprintf("embedded/inflight=%d", inflight), func(b *testing.B) {
			e := serve(b, EmbeddedOptions{}, safe)
			w := connected(b, e, hello{id: "d1", clean: true})
			b.ResetTimer()
			pump(b, w.Conn, inflight)
		})
		b.Run(fmt.Sprintf("bare/inflight=%d", inflight), func(b *testing.B) {
			pump(b, bareLoop(b), inflight)
		})
	}
}

// pump publishes b.N messages in windows.
func pump(b *testing.B, c net.Conn, inflight int) {
	var window []byte
	for id := range inflight {
		window = append(window, publishPacket(pub{topic: "plants/lyon/d1/t", payload: `{"t":21.5,"h":40}`, qos: 1, id: uint16(id + 1)})...)
	}
	size := len(window) / inflight
	acks := make([]byte, 4*inflight)
	for left := b.N; left > 0; left -= inflight {
		n := min(left, inflight)
		if _, err := c.Write(window[:n*size]); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, acks[:4*n]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// bareLoop answers PUBLISH at QoS 1 and nothing else.
func bareLoop(b *testing.B) net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r, w := bufio.NewReaderSize(c, 4<<10), bufio.NewWriter(c)
		for {
			if _, err := r.ReadByte(); err != nil {
				return
			}
			n, err := binary.ReadUvarint(r)
			if err != nil {
				return
			}
			body := make([]byte, n)
			if _, err := io.ReadFull(r, body); err != nil {
				return
			}
			topic := 2 + int(binary.BigEndian.Uint16(body))
			_, _ = w.Write([]byte{0x40, 2, body[topic], body[topic+1]})
			if r.Buffered() == 0 {
				if err := w.Flush(); err != nil {
					return
				}
			}
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(); _ = l.Close(); <-done })
	return c
}
