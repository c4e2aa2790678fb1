// Package uidlist reads and writes dovecot-uidlist, the file in which Dovecot
// keeps the UIDs of a Maildir: https://doc.dovecot.org/2.3/admin_manual/mailbox_formats/maildir/.
//
// A file of version 3 begins with "3 V<UIDVALIDITY> N<next UID> G<GUID>", and
// has a line "<UID> [<letter><value> ...] :<file name>" for each message, of
// ascending UIDs. Lines are appended; the first line is not kept current then.
// A file of version 1 begins with "1 <UIDVALIDITY> <next UID>", and has lines
// "<UID> <file name>".
package uidlist

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

// ErrFormat says that it is no uidlist of a version that is known.
var ErrFormat = errors.New("not a dovecot-uidlist of version 1 or 3")

// maxLine bounds a line; file names have up to 255 bytes.
const maxLine = 4096

// Header is the first line.
type Header struct {
	Version  int
	Validity uint32
	Next     uint32 // at least; more when lines were appended
	GUID     string // of the mailbox; '' none
}

// Letters of Entry.Field.
const (
	Virtual = 'W' // RFC822.SIZE
	Size    = 'S' // of the file
	UIDL    = 'P' // what POP3 tells
	GUID    = 'G' // of the message
)

// Entry is a line.
type Entry struct {
	UID    uint32
	Fields string // as they stand: letters with their values, spaces between
	Name   string // of the file without flags
}

// Field returns the value of a letter.
func (e *Entry) Field(letter byte) (value string, ok bool) {
	for f := range strings.FieldsSeq(e.Fields) {
		if f[0] == letter {
			return f[1:], true
		}
	}
	return "", false
}

// Read calls fn for every line that makes sense, with UIDs that ascend; e is
// valid until fn returns. The header's Next is above all UIDs.
func Read(r io.Reader, fn func(e *Entry) error) (Header, error) {
	br := bufio.NewReaderSize(r, maxLine)
	line, err := readLine(br)
	if err != nil && err != io.EOF {
		return Header{}, err
	}
	h, err := parseHeader(line)
	if err != nil {
		return h, err
	}
	var e Entry
	for last := uint32(0); ; {
		line, err := readLine(br)
		if err == io.EOF {
			break
		}
		if err != nil {
			return h, err
		}
		if !parseEntry(line, h.Version, &e) || e.UID <= last {
			continue
		}
		last = e.UID
		if err := fn(&e); err != nil {
			return h, err
		}
		if last >= h.Next {
			h.Next = last + 1 // 0 past the last UID of all
		}
	}
	return h, nil
}

// readLine returns a line without its end; one that is too long is "", and so
// is one that was not written to its end.
func readLine(br *bufio.Reader) ([]byte, error) {
	line, err := br.ReadSlice('\n')
	if err == nil {
		return line[:len(line)-1], nil
	}
	for err == bufio.ErrBufferFull {
		_, err = br.ReadSlice('\n')
	}
	if err == nil {
		return nil, nil
	}
	return nil, err
}

func parseHeader(line []byte) (h Header, err error) {
	words := strings.Fields(string(line))
	if len(words) < 2 {
		return h, ErrFormat
	}
	switch words[0] {
	case "1":
		h.Version = 1
		h.Validity = number(words[1])
		if len(words) > 2 {
			h.Next = number(words[2])
		}
	case "3":
		h.Version = 3
		for _, w := range words[1:] {
			switch w[0] {
			case 'V':
				h.Validity = number(w[1:])
			case 'N':
				h.Next = number(w[1:])
			case 'G':
				h.GUID = w[1:]
			}
		}
	default:
		return h, ErrFormat
	}
	if h.Validity == 0 {
		return h, ErrFormat
	}
	h.Next = max(h.Next, 1)
	return h, nil
}

func number(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

func parseEntry(line []byte, version int, e *Entry) bool {
	at := bytes.IndexByte(line, ' ')
	if at <= 0 {
		return false
	}
	uid, err := strconv.ParseUint(string(line[:at]), 10, 32)
	if err != nil || uid == 0 || uid == 1<<32-1 {
		return false
	}
	rest := line[at+1:]
	e.UID, e.Fields = uint32(uid), ""
	if version == 3 {
		colon := 0
		if len(rest) == 0 || rest[0] != ':' {
			if colon = bytes.Index(rest, []byte(" :")); colon < 0 {
				return false
			}
			e.Fields = string(rest[:colon])
			colon++
		}
		rest = rest[colon+1:]
	}
	if at := bytes.LastIndex(rest, []byte(":2,")); at >= 0 {
		rest = rest[:at] // flags
	}
	if len(rest) == 0 || bytes.IndexByte(rest, '/') >= 0 || bytes.IndexByte(rest, 0) >= 0 {
		return false
	}
	e.Name = string(rest)
	return true
}

// AppendHeader writes the first line of version 3.
func AppendHeader(buf []byte, h Header) []byte {
	buf = append(buf, "3 V"...)
	buf = strconv.AppendUint(buf, uint64(h.Validity), 10)
	buf = append(buf, " N"...)
	buf = strconv.AppendUint(buf, uint64(h.Next), 10)
	if h.GUID != "" && !strings.ContainsAny(h.GUID, " \n") {
		buf = append(buf, " G"...)
		buf = append(buf, h.GUID...)
	}
	return append(buf, '\n')
}

// Append writes a line of version 3; nothing for a name that no line can have.
func Append(buf []byte, e *Entry) []byte {
	if strings.ContainsAny(e.Name, "\n\x00") || e.Name == "" {
		return buf
	}
	buf = strconv.AppendUint(buf, uint64(e.UID), 10)
	buf = append(buf, ' ')
	if e.Fields != "" {
		buf = append(buf, e.Fields...)
		buf = append(buf, ' ')
	}
	buf = append(buf, ':')
	buf = append(buf, e.Name...)
	return append(buf, '\n')
}

// Tail returns the header and the UID of the last line, of a file of size
// bytes, without reading what is between. ok is false when it must be read, or
// written, as a whole.
func Tail(f io.ReaderAt, size int64) (h Header, last uint32, ok bool) {
	var buf [2 * maxLine]byte
	n, _ := f.ReadAt(buf[:min(size, maxLine)], 0)
	at := bytes.IndexByte(buf[:n], '\n')
	if at < 0 {
		return h, 0, false
	}
	h, err := parseHeader(buf[:at])
	if err != nil || h.Version != 3 {
		return h, 0, false
	}
	if size == int64(at+1) {
		return h, 0, true
	}
	from := max(int64(at+1), size-int64(len(buf)))
	n, err = f.ReadAt(buf[:size-from], from)
	if int64(n) != size-from || err != nil && err != io.EOF || buf[n-1] != '\n' {
		return h, 0, false
	}
	line := buf[:n-1]
	line = line[bytes.LastIndexByte(line, '\n')+1:]
	var e Entry
	if !parseEntry(line, h.Version, &e) {
		return h, 0, false
	}
	return h, e.UID, true
}
