// Package courier reads the files that Courier keeps in a Maildir: courierimapuiddb
// has the form of a dovecot-uidlist of version 1 and is read by package uidlist.
package courier

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Names of the files.
const (
	UIDs          = "courierimapuiddb"
	Sizes         = "courierpop3dsizelist"
	Keywords      = "courierimapkeywords/:list"
	Subscriptions = "courierimapsubscribed"
)

// Bounds of what is read.
const (
	maxLine     = 4096
	maxKeywords = 26
	// MaxMessages is how many messages of a mailbox are read.
	MaxMessages = 1 << 18
)

// Message is a line of courierpop3dsizelist.
type Message struct {
	Name     string // of the file, without flags
	Number   uint32
	Validity uint32
}

// UIDL is what Courier's POP3 server tells of the message.
func (m *Message) UIDL() string {
	switch {
	case m.Number != 0 && m.Validity != 0:
		return fmt.Sprintf("UID%d-%d", m.Number, m.Validity)
	case m.Number != 0:
		return fmt.Sprintf("UID%d", m.Number)
	}
	var b strings.Builder
	for i := range len(m.Name) {
		if c := m.Name[i]; c < '!' || c > '~' || strings.IndexByte(`'"+`, c) >= 0 {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// ReadSizes reads courierpop3dsizelist: "/version next validity", then "name
// size number:validity:utf8". The older form has lines "name size" alone.
func ReadSizes(r io.Reader) ([]Message, error) {
	var list []Message
	err := lines(r, func(n int, line string) bool {
		if n == 0 && strings.HasPrefix(line, "/") {
			return true
		}
		words := strings.Fields(line)
		if len(words) < 2 || len(words) > 3 {
			return true
		}
		m := Message{Name: baseName(words[0])}
		if len(words) == 3 {
			ids := strings.Split(words[2], ":")
			m.Number = number(ids[0])
			if len(ids) > 1 {
				m.Validity = number(ids[1])
			}
		}
		if m.Name != "" {
			list = append(list, m)
		}
		return len(list) < MaxMessages
	})
	return list, err
}

// ReadKeywords reads courierimapkeywords/:list: names, an empty line, then
// "file:number number". It returns the names, and the keywords of files as bits
// by number; those over 26 are left out.
func ReadKeywords(r io.Reader) (names []string, files map[string]uint32, err error) {
	files = make(map[string]uint32)
	head := true
	err = lines(r, func(_ int, line string) bool {
		if head {
			if head = line != ""; head {
				names = append(names, line)
			}
			return len(names) < 1000
		}
		at := strings.LastIndexByte(line, ':')
		if at <= 0 {
			return true
		}
		var bits uint32
		for word := range strings.FieldsSeq(line[at+1:]) {
			if n, err := strconv.ParseUint(word, 10, 8); err == nil && n < maxKeywords && int(n) < len(names) {
				bits |= 1 << n
			}
		}
		if name := baseName(line[:at]); name != "" && bits != 0 {
			files[name] = bits
		}
		return len(files) < MaxMessages
	})
	return names[:min(len(names), maxKeywords)], files, err
}

// ReadSubscriptions reads courierimapsubscribed: "INBOX.Sent" is the mailbox
// Sent.
func ReadSubscriptions(r io.Reader) (names []string, err error) {
	err = lines(r, func(_ int, line string) bool {
		line = strings.TrimPrefix(line, "INBOX.")
		if line != "" {
			names = append(names, line)
		}
		return len(names) < 10000
	})
	return names, err
}

// lines calls fn for each line that is not too long, until it is false.
func lines(r io.Reader, fn func(n int, line string) bool) error {
	br := bufio.NewReaderSize(r, maxLine)
	for n, long := 0, false; ; n++ {
		line, err := br.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			long = true
			continue
		}
		if err != nil && err != io.EOF {
			return err
		}
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if !long && !fn(n, strings.TrimRight(string(line), "\r\n")) {
			return nil
		}
		long = false
		if err == io.EOF {
			return nil
		}
	}
}

func baseName(name string) string {
	if at := strings.Index(name, ":2,"); at >= 0 {
		name = name[:at]
	}
	if strings.ContainsAny(name, "/\x00") {
		return ""
	}
	return name
}

func number(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
