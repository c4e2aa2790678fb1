package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"strings"

	"mailserver/internal/message"
)

// spoolStdin copies a message into a file without name, with CRLF line ends.
// A line with a dot alone ends it, unless dots are text; a line "From " at its
// start is that of an mbox.
func spoolStdin(in io.Reader, dots bool) (*os.File, error) {
	f, err := os.CreateTemp("", "sendmail-")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	w := bufio.NewWriter(f)
	if err = toCRLF(w, bufio.NewReader(in), dots); err == nil {
		err = w.Flush()
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func toCRLF(w *bufio.Writer, r *bufio.Reader, dots bool) error {
	start, first, skip, cr := true, true, false, false
	for {
		part, err := r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull && err != io.EOF {
			return err
		}
		if start && !dots && string(bytes.TrimRight(part, "\r\n")) == "." && err != bufio.ErrBufferFull {
			return nil
		}
		if start && first && bytes.HasPrefix(part, []byte("From ")) {
			skip = true
		}
		ended := bytes.HasSuffix(part, []byte("\n"))
		line := bytes.TrimSuffix(part, []byte("\n"))
		if ended && len(line) > 0 {
			line = bytes.TrimSuffix(line, []byte("\r"))
		}
		if cr && !(ended && len(line) == 0) {
			w.WriteByte('\r')
		}
		if cr = !ended && bytes.HasSuffix(line, []byte("\r")); cr {
			line = line[:len(line)-1]
		}
		if !skip {
			w.Write(line)
			if ended || err == io.EOF && (len(part) > 0 || !start) {
				w.WriteString("\r\n")
			}
		}
		if ended {
			skip = false
		}
		start, first = ended, false
		if err == io.EOF {
			return nil
		}
	}
}

// maxScanned bounds the recipients that -t finds.
const maxScanned = 10000

// recipients are those of To, Cc and Bcc; of a message that is sent again,
// those of the Resent- fields.
func recipients(f io.ReadSeeker) ([]string, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var plain, resent []string
	again := false
	err := message.ReadHeader(f, func(field message.Field) bool {
		name := strings.ToLower(field.Name)
		list := &plain
		if strings.HasPrefix(name, "resent-") {
			again, list, name = true, &resent, name[len("resent-"):]
		}
		switch name {
		case "to", "cc", "bcc":
			for _, m := range message.ParseAddressList(field.Value, maxScanned) {
				if m.Group || m.Local == "" {
					continue
				}
				to := m.Local
				if strings.ContainsAny(to, "@ \"\\,") {
					to = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(to) + `"`
				}
				if m.Domain != "" {
					to += "@" + m.Domain
				}
				*list = append(*list, to)
			}
		}
		return len(*list) < maxScanned
	})
	if again {
		return resent, err
	}
	return plain, err
}
