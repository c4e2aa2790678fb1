package remote

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
)

// replyLine and replyMost bound what a remote may say at once, in bytes.
const (
	replyLine = 2048
	replyMost = 32 << 10
)

// errReply says that what came is no SMTP reply.
var errReply = errors.New("malformed reply")

// reply is one answer of a server.
type reply struct {
	code  int
	lines []string // with their codes, without line ends
}

// readReply reads one reply of one or more lines, RFC 5321 §4.2.
func readReply(r *bufio.Reader) (reply, error) {
	var rep reply
	size := 0
	for {
		line, err := readLine(r)
		if err != nil {
			return reply{}, err
		}
		code, last, err := parseLine(line)
		if err != nil {
			return reply{}, err
		}
		if rep.code != 0 && code != rep.code {
			return reply{}, fmt.Errorf("%w: codes %d and %d in one", errReply, rep.code, code)
		}
		rep.code = code
		if size += len(line); size > replyMost {
			return reply{}, fmt.Errorf("%w: too long", errReply)
		}
		rep.lines = append(rep.lines, line)
		if last {
			return rep, nil
		}
	}
}

// readLine reads a line without its end; what is over the bound is cut off.
func readLine(r *bufio.Reader) (string, error) {
	var b []byte
	for {
		part, err := r.ReadSlice('\n')
		if room := replyLine - len(b); room > 0 {
			b = append(b, part[:min(len(part), room)]...)
		}
		if err == nil {
			return strings.TrimRight(string(b), "\r\n"), nil
		}
		if err != bufio.ErrBufferFull {
			return "", err
		}
	}
}

// parseLine reads the code of a line; last is false for "250-...".
func parseLine(line string) (code int, last bool, err error) {
	if len(line) < 3 {
		return 0, false, fmt.Errorf("%w: %.40q", errReply, line)
	}
	for i := range 3 {
		if line[i] < '0' || line[i] > '9' {
			return 0, false, fmt.Errorf("%w: %.40q", errReply, line)
		}
		code = code*10 + int(line[i]-'0')
	}
	if code < 200 || code > 599 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false, fmt.Errorf("%w: %.40q", errReply, line)
	}
	return code, len(line) == 3 || line[3] == ' ', nil
}

func (r reply) ok() bool { return r.code >= 200 && r.code < 300 }

// String gives all lines in one.
func (r reply) String() string { return strings.Join(r.lines, " ") }

// enhanced is the enhanced code of the first line, or the plain one for its
// class; a code of another class than the reply's is not believed.
func (r reply) enhanced() string {
	class := byte('0' + r.code/100)
	if len(r.lines) > 0 && len(r.lines[0]) > 4 {
		word, _, _ := strings.Cut(r.lines[0][4:], " ")
		if validEnhanced(word) && word[0] == class {
			return word
		}
	}
	return string(class) + ".0.0"
}

// validEnhanced: RFC 3463 §2.
func validEnhanced(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || len(parts[0]) != 1 || !strings.Contains("245", parts[0]) {
		return false
	}
	for _, p := range parts[1:] {
		if p == "" || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return true
}
