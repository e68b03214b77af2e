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

// maxFiles is how many descriptors come with one message, at most.
const maxFiles = 8

var (
	errTooLong  = errors.New("a message that is too long")
	errStranger = errors.New("peer runs as another user")
)

// link is a socket between a process and its successor, or its predecessor. It is of packets, so that a message and its descriptors stay
// together. One goroutine sends and receives.
type link struct {
	conn   *net.UnixConn
	buffer []byte // for what comes
}

func newLink(conn *net.UnixConn) link { return link{conn, make([]byte, maxMessage)} }

// check refuses a peer that does not run as a user.
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

// limit bounds how long what comes then may take; 0 is for ever.
func (l link) limit(d time.Duration) {
	var end time.Time
	if d > 0 {
		end = time.Now().Add(d)
	}
	_ = l.conn.SetDeadline(end) // an error: it is closed, and whoever uses it will hear of that
}

// send sends a message, and descriptors that the receiver has besides the sender from then on.
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

// receive waits for a message, whose files the caller must close. It gives io.EOF if the peer has gone, and errMessage, or an error that wraps
// it, if what has come is none: then there may be another one.
func (l link) receive() (m message, files []*os.File, err error) {
	text, rights := l.buffer, make([]byte, syscall.CmsgSpace(4*maxFiles))
	n, r, flags, _, err := l.conn.ReadMsgUnix(text, rights)
	if errors.Is(err, syscall.ECONNRESET) { // the peer has gone without reading all; what it has said before is there all the same
		n, r, flags, _, err = l.conn.ReadMsgUnix(text, rights)
	}
	if err != nil {
		return message{}, nil, err
	}
	if files, err = open(rights[:r]); err == nil && flags&(syscall.MSG_TRUNC|syscall.MSG_CTRUNC) != 0 {
		err = fmt.Errorf("%w: it was cut off", errMessage)
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

// open returns the files of the descriptors that have come with a message.
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
