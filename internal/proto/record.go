package proto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"pushgate/internal/channel"
)

// ErrRecord is wrapped by every error of [DecodeRecord].
var ErrRecord = errors.New("damaged record")

const (
	recordVersion = 1

	flagText     = 1 << 0 // ids are 32 characters each, not 16 bytes
	flagClient   = 1 << 1 // the sender is a client
	flagBackend  = 1 << 2 // the sender is the portal; without either flag the sender is not known
	flagSenderID = 1 << 3 // the sender has an id
	flagParams   = 1 << 4 // there are params for single users
	knownFlags   = flagText | flagClient | flagBackend | flagSenderID | flagParams
)

// AppendRecord appends the record of m, which is what the log stores and what notifications carry.
// It holds everything but the id: that is part of the key in the log, and precedes the record in a
// notification.
//
//	version  byte
//	flags    byte
//	created  uvarint, unix microseconds
//	ttl      uvarint, milliseconds
//	type     uvarint length, bytes
//	receivers uvarint count, 16 bytes each (32 with flagText)
//	          with flagClient, 16 bytes are a public id: clients write to no other
//	sender   with flagSenderID: 16 bytes (32 with flagText)
//	params   with flagParams: uvarint count, and for each uvarint user, uvarint length, bytes;
//	         the trace of a sampled message is the last of them, for traceUser
//	body     the rest
func AppendRecord(b []byte, m *Message) []byte {
	flags := recordFlags(m)
	b = append(b, recordVersion, flags)
	b = binary.AppendUvarint(b, uint64(max(m.Created.UnixMicro(), 0)))
	b = binary.AppendUvarint(b, uint64(m.TTL.Milliseconds()))
	b = binary.AppendUvarint(b, uint64(len(m.Type)))
	b = append(b, m.Type...)
	b = binary.AppendUvarint(b, uint64(len(m.Receivers)))
	for _, id := range m.Receivers {
		b = appendChannel(b, written(m, id), flags)
	}
	if flags&flagSenderID != 0 {
		b = appendChannel(b, m.Sender.ID, flags)
	}
	if flags&flagParams != 0 {
		b = appendParams(b, m)
	}
	return append(b, m.Body...)
}

func appendParams(b []byte, m *Message) []byte {
	count := len(m.UserParams)
	traced := writesTrace(m)
	if traced {
		count++
	}
	b = binary.AppendUvarint(b, uint64(count))
	for _, p := range m.UserParams {
		b = binary.AppendUvarint(b, uint64(p.User))
		b = binary.AppendUvarint(b, uint64(len(p.Params)))
		b = append(b, p.Params...)
	}
	if traced {
		b = binary.AppendUvarint(b, traceUser)
		b = binary.AppendUvarint(b, traceLen)
		b = m.Trace.append(b)
	}
	return b
}

// writesTrace reports whether the record of m holds its trace. It does not if there is no room.
func writesTrace(m *Message) bool { return m.Trace.valid() && len(m.UserParams) < MaxUserParams }

func recordFlags(m *Message) (flags byte) {
	switch m.Sender.Type {
	case SenderClient:
		flags |= flagClient
	case SenderBackend:
		flags |= flagBackend
	}
	if !m.Sender.ID.IsZero() {
		flags |= flagSenderID
		if _, ok := m.Sender.ID.Bytes(); !ok {
			flags |= flagText
		}
	}
	if len(m.UserParams) > 0 || writesTrace(m) {
		flags |= flagParams
	}
	for _, id := range m.Receivers {
		if _, ok := written(m, id).Bytes(); !ok {
			flags |= flagText
		}
	}
	return flags
}

// written returns a receiver of m as it is written in the record. Records of clients' messages hold
// plain ids, as older builds read and write them. A reader knows that they are public ids.
func written(m *Message, id channel.ID) channel.ID {
	if public, ok := id.PublicID(); ok && m.Sender.Type == SenderClient {
		return public
	}
	return id
}

func appendChannel(b []byte, id channel.ID, flags byte) []byte {
	if flags&flagText != 0 {
		b, _ = id.AppendText(b)
		return b
	}
	raw, _ := id.Bytes()
	return append(b, raw[:]...)
}

// DecodeRecord decodes what [AppendRecord] wrote. The message shares the memory of record, which
// the caller must not change afterwards. Received is set to the current time. Every error wraps
// [ErrRecord].
func DecodeRecord(id ID, record []byte) (*Message, error) {
	d := decoder{rest: record}
	version, flags := d.byte(), d.byte()
	if !d.bad && version != recordVersion {
		return nil, fmt.Errorf("%w: version %d", ErrRecord, version)
	}
	if flags&^knownFlags != 0 { // of a later build, which may have put more in front of the body
		d.bad = true
	}
	m := &Message{ID: id, Received: time.Now()}
	m.Created = time.UnixMicro(int64(d.uvarint(1 << 62)))
	m.TTL = time.Duration(d.uvarint(uint64(MaxTTL.Milliseconds()))) * time.Millisecond
	m.Type = string(d.bytes(int(d.uvarint(MaxType))))
	m.Receivers = make([]channel.ID, d.count(MaxReceivers))
	for i := range m.Receivers {
		m.Receivers[i] = d.channel(flags&flagText != 0)
		if flags&flagClient == 0 {
			continue
		}
		if public := channel.ForPublic(m.Receivers[i]); !public.IsZero() {
			m.Receivers[i] = public
		}
	}
	switch {
	case flags&flagClient != 0:
		m.Sender.Type = SenderClient
	case flags&flagBackend != 0:
		m.Sender.Type = SenderBackend
	}
	if flags&flagSenderID != 0 {
		m.Sender.ID = d.channel(flags&flagText != 0)
	}
	if flags&flagParams != 0 {
		m.UserParams, m.Trace = cutTrace(d.userParams())
	}
	m.Body = d.rest
	if d.bad || len(m.Body) > MaxBody {
		return nil, fmt.Errorf("%w: %d bytes", ErrRecord, len(record))
	}
	return m, nil
}

// decoder reads values from the front of a record. After one that is missing or too large, it
// returns zeros.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) bytes(n int) []byte {
	if d.bad || n > len(d.rest) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > most {
		d.bad = true
		return 0
	}
	d.bytes(n)
	return v
}

// count reads the number of elements that follow. Each takes at least one byte, so a number larger
// than the rest is refused before memory is allocated for it.
func (d *decoder) count(most uint64) uint64 {
	n := d.uvarint(most)
	if n > uint64(len(d.rest)) {
		d.bad = true
		return 0
	}
	return n
}

func (d *decoder) channel(text bool) channel.ID {
	if text {
		id, err := channel.Restore(string(d.bytes(channel.IDLen)))
		d.bad = d.bad || err != nil
		return id
	}
	var raw [channel.IDLen / 2]byte
	copy(raw[:], d.bytes(len(raw)))
	return channel.FromBytes(raw)
}

func (d *decoder) userParams() []UserParams {
	all := make([]UserParams, d.count(MaxUserParams))
	for i := range all {
		all[i].User = int64(d.uvarint(math.MaxInt64))
		all[i].Params = d.bytes(int(d.uvarint(MaxBody)))
	}
	return all
}

// RecordHead is how many bytes of a record are enough for [RecordType].
const RecordHead = 2 + 2*binary.MaxVarintLen64 + 2 + MaxType

// RecordType returns the type of the message in a record, of which only the beginning is needed; ok
// is false if it does not decode.
func RecordType(head []byte) (typ string, ok bool) {
	d := decoder{rest: head}
	version, flags := d.byte(), d.byte()
	d.uvarint(1 << 62)
	d.uvarint(uint64(MaxTTL.Milliseconds()))
	typ = string(d.bytes(int(d.uvarint(MaxType))))
	return typ, !d.bad && version == recordVersion && flags&^knownFlags == 0
}
