package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A record on the result disk: magic, name length, data length, CRC-32 of name
// and data (little endian), name, data, zeros up to a multiple of 4096. The
// disk starts zeroed, so that the first foreign magic ends the sequence; a
// record torn by the guest's death fails its CRC.
const (
	recordMagic = 0x31524d56 // "VMR1"
	recordHead  = 24
	recordAlign = 4096
	maxName     = 4096
)

// Record is one named file brought back.
type Record struct {
	Name string
	Data []byte
}

// EncodeRecord returns the bytes of one record, padded.
func EncodeRecord(r Record) ([]byte, error) {
	if len(r.Name) == 0 || len(r.Name) > maxName {
		return nil, fmt.Errorf("record name of %d bytes; valid: 1 to %d", len(r.Name), maxName)
	}
	n := recordHead + len(r.Name) + len(r.Data)
	b := make([]byte, (n+recordAlign-1)/recordAlign*recordAlign)
	binary.LittleEndian.PutUint32(b[0:], recordMagic)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(r.Name)))
	binary.LittleEndian.PutUint64(b[8:], uint64(len(r.Data)))
	copy(b[recordHead:], r.Name)
	copy(b[recordHead+len(r.Name):], r.Data)
	binary.LittleEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b[recordHead:n]))
	return b, nil
}

// ErrTorn ends a sequence whose last record was not written completely.
var ErrTorn = errors.New("last record is torn: the guest died while writing it")

// ReadRecords reads all records of a result disk of size bytes. With ErrTorn
// the complete ones before the torn one are returned.
func ReadRecords(r io.ReaderAt, size int64) ([]Record, error) {
	var out []Record
	for off := int64(0); off+recordHead <= size; {
		var head [recordHead]byte
		if _, err := r.ReadAt(head[:], off); err != nil {
			return out, fmt.Errorf("result disk at %d: %w", off, err)
		}
		if binary.LittleEndian.Uint32(head[0:]) != recordMagic {
			return out, nil
		}
		nameLen := int64(binary.LittleEndian.Uint32(head[4:]))
		dataLen := binary.LittleEndian.Uint64(head[8:])
		if nameLen == 0 || nameLen > maxName || dataLen > uint64(size) || off+recordHead+nameLen+int64(dataLen) > size {
			return out, ErrTorn
		}
		body := make([]byte, nameLen+int64(dataLen))
		if _, err := r.ReadAt(body, off+recordHead); err != nil {
			return out, fmt.Errorf("result disk at %d: %w", off, err)
		}
		if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(head[16:]) {
			return out, ErrTorn
		}
		out = append(out, Record{Name: string(body[:nameLen]), Data: body[nameLen:]})
		off += (recordHead + int64(len(body)) + recordAlign - 1) / recordAlign * recordAlign
	}
	return out, nil
}
