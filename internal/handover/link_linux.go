package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// maxFiles is how many descriptors a message can have.
const maxFiles = 8

var (
	errTooLong  = errors.New("message too long")
	errStranger = errors.New("peer runs as another user")
)

// link is a socket between a process and its successor or predecessor. The socket carries packets,
// so a message and its descriptors stay together. Only one goroutine at a time sends and receives.
type link struct {
	conn   *net.UnixConn
	buffer []byte // for the message that is received
}

func newLink(conn *net.UnixConn) link { return link{conn, make([]byte, maxMessage)} }

// check returns an error if the peer does not run as the user uid.
func (l link) check(uid int) error {
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *syscall.Ucred
	if e := raw.Control(func(fd uintptr) {
		peer, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); e != nil {
		return e
	}
	if err == nil && peer.Uid != uint32(uid) {
		err = errStranger
	}
	return err
}

// limit bounds the time of everything that follows; 0 is for ever.
func (l link) limit(d time.Duration) {
	var end time.Time
	if d > 0 {
		end = time.Now().Add(d)
	}
	_ = l.conn.SetDeadline(end) // fails if the link is closed, which its next use returns
}

// send sends a message with descriptors. From then on, the receiver has them too.
func (l link) send(m message, descriptors ...int) error {
	text, err := json.Marshal(m)
	switch {
	case err != nil:
		return err
	case len(text) > maxMessage:
		return errTooLong
	}
	var rights []byte
	if len(descriptors) > 0 {
		rights = syscall.UnixRights(descriptors...)
	}
	_, _, err = l.conn.WriteMsgUnix(text, rights, nil)
	return err
}

// receive waits for a message. The caller must close its files. The error is io.EOF if the peer has
// closed the link, and wraps errMessage if the packet was not a message of this version; after
// that, another message may follow.
func (l link) receive() (m message, files []*os.File, err error) {
	text, rights := l.buffer, make([]byte, syscall.CmsgSpace(4*maxFiles))
	n, r, flags, _, err := l.conn.ReadMsgUnix(text, rights)
	// The peer closed without reading everything; what it sent can still be read.
	if errors.Is(err, syscall.ECONNRESET) {
		n, r, flags, _, err = l.conn.ReadMsgUnix(text, rights)
	}
	if err != nil {
		return message{}, nil, err
	}
	if files, err = open(rights[:r]); err == nil && flags&(syscall.MSG_TRUNC|syscall.MSG_CTRUNC) != 0 {
		err = fmt.Errorf("%w: truncated", errMessage)
	}
	if err == nil {
		m, err = decode(text[:n])
	}
	if err != nil {
		closeAll(files)
		return message{}, nil, err
	}
	return m, files, nil
}

// open returns the files of the descriptors of a message.
func open(rights []byte) (files []*os.File, err error) {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		descriptors, err := syscall.ParseUnixRights(&m)
		if err != nil {
			return files, err
		}
		for _, fd := range descriptors {
			files = append(files, os.NewFile(uintptr(fd), "handed over"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
