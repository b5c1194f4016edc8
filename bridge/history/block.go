package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"
)

// magic begins every segment; its last byte is the version of the format.
const magic = "tocsinh\x01"

const headerBytes = 64

// A header stands before each block. All numbers are little-endian; the last
// four bytes are the checksum of the others.
type header struct {
	bounds
	first   uint64 // position of its first input
	size    uint32 // of the compressed payload
	raw     uint32 // of the payload
	payload uint32 // CRC-32C of the compressed payload
}

func (h *header) end() uint64 { return h.first + uint64(h.count) }

func (h *header) append(b []byte) []byte {
	at := len(b)
	for _, x := range []uint32{h.size, h.raw, h.count, h.payload} {
		b = binary.LittleEndian.AppendUint32(b, x)
	}
	for _, x := range []uint64{h.first, uint64(h.firstNow), uint64(h.endNow), uint64(h.firstAt), uint64(h.endAt), 0} { // #nosec G115 -- bits
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	b = b[:at+headerBytes-4]
	return binary.LittleEndian.AppendUint32(b, checksum(b[at:]))
}

var errHeader = errors.New("the header of a block is damaged")

func parseHeader(b []byte) (h header, err error) {
	if len(b) < headerBytes || binary.LittleEndian.Uint32(b[headerBytes-4:]) != checksum(b[:headerBytes-4]) {
		return h, errHeader
	}
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	i64 := func(at int) int64 { return int64(binary.LittleEndian.Uint64(b[at:])) } // #nosec G115 -- bits
	h = header{
		size: u32(0), raw: u32(4), payload: u32(12), first: uint64(i64(16)), // #nosec G115 -- as above
		bounds: bounds{count: u32(8), firstNow: i64(24), endNow: i64(32), firstAt: i64(40), endAt: i64(48)},
	}
	if h.size > maxRaw || h.raw > maxRaw || h.count > h.raw || h.first > math.MaxUint64/2 {
		return h, errHeader
	}
	return h, nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// A packer makes blocks of payloads. Its memory is used again.
type packer struct {
	zstd *zstd.Encoder
	buf  []byte
}

func newPacker() (*packer, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<19), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("preparing compression: %w", err)
	}
	return &packer{zstd: z}, nil
}

// pack returns a block, good until the next call.
func (p *packer) pack(first uint64, b bounds, payload []byte) []byte {
	p.buf = append(p.buf[:0], make([]byte, headerBytes)...)
	p.buf = p.zstd.EncodeAll(payload, p.buf)
	packed := p.buf[headerBytes:]
	h := header{
		bounds: b, first: first,
		size: uint32(len(packed)), raw: uint32(len(payload)), payload: checksum(packed), // #nosec G115 -- bounded by maxRaw
	}
	h.append(p.buf[:0])
	return p.buf
}

// An unpacker reads blocks. Its memory is used again.
type unpacker struct {
	zstd   *zstd.Decoder
	packed []byte
	raw    []byte
}

func newUnpacker() (*unpacker, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(4<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("preparing decompression: %w", err)
	}
	return &unpacker{zstd: z}, nil
}

func (u *unpacker) close() { u.zstd.Close() }

var errChecksum = errors.New("the checksum of a block is wrong")

// read returns the payload of the block at an offset, good until the next call.
// Damage is errChecksum or errPayload; any other error is of reading.
func (u *unpacker) read(r io.ReaderAt, h *header, at int64) ([]byte, error) {
	u.packed = sized(u.packed, int(h.size))
	if _, err := r.ReadAt(u.packed, at+headerBytes); err != nil {
		return nil, err
	}
	if checksum(u.packed) != h.payload {
		return nil, errChecksum
	}
	return u.unpack(u.packed, int(h.raw))
}

func (u *unpacker) unpack(packed []byte, raw int) ([]byte, error) {
	out, err := u.zstd.DecodeAll(packed, sized(u.raw, raw)[:0:raw])
	if err != nil || len(out) != raw {
		return nil, errPayload
	}
	u.raw = out
	return out, nil
}

// sized returns n bytes, in the memory of b where that is enough.
func sized(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}
