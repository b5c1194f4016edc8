// Command bareloop is the reference of the whole-job benchmark: the least that
// a Go program can do to take MQTT messages in. It parses CONNECT and PUBLISH
// and acknowledges; it judges, stores and tells nothing.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
)

func main() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(ln.Addr())
	for {
		conn, err := ln.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go serve(conn)
	}
}

// serve answers packets until the connection ends.
func serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 4096)
	body := make([]byte, 0, 4096)
	var ack [4]byte
	for {
		first, err := r.ReadByte()
		if err != nil {
			return
		}
		length, shift := 0, 0
		for {
			b, err := r.ReadByte()
			if err != nil {
				return
			}
			length |= int(b&0x7f) << shift
			if shift += 7; b < 0x80 {
				break
			}
		}
		if cap(body) < length {
			body = make([]byte, length)
		}
		body = body[:length]
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		switch first >> 4 {
		case 1: // CONNECT
			ack = [4]byte{0x20, 2, 0, 0}
		case 3: // PUBLISH, QoS 1: the packet id follows the topic
			topic := 2 + int(body[0])<<8 + int(body[1])
			ack = [4]byte{0x40, 2, body[topic], body[topic+1]}
		case 14: // DISCONNECT
			return
		default:
			continue
		}
		if _, err := conn.Write(ack[:]); err != nil {
			return
		}
	}
}
