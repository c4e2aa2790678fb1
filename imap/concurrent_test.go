package imap_test

import (
	"fmt"
	"math/rand"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"mailserver/imap"
)

// picture is what a client believes of a mailbox from what it was told.
type picture struct {
	*client
	uids []uint32 // by sequence number; 0: not known yet
}

var (
	expungeLine = regexp.MustCompile(`^\* (\d+) EXPUNGE$`)
	existsLine  = regexp.MustCompile(`^\* (\d+) EXISTS$`)
	uidLine     = regexp.MustCompile(`^\* (\d+) FETCH \(.*\bUID (\d+)`)
)

// run sends a command and follows what the server tells.
func (p *picture) run(command string) (string, error) {
	p.Send("x " + command)
	quiet := regexp.MustCompile(`^(FETCH|STORE|SEARCH) `).MatchString(command)
	for {
		line := p.Line()
		if strings.HasPrefix(line, "x ") {
			if strings.HasPrefix(line, "x BAD") || strings.Contains(line, "SERVERBUG") {
				return line, fmt.Errorf("%s: %s", command, line)
			}
			return line, nil
		}
		if err := p.follow(line, quiet); err != nil {
			return "", fmt.Errorf("%s: %w", command, err)
		}
	}
}

func (p *picture) follow(line string, quiet bool) error {
	if m := expungeLine.FindStringSubmatch(line); m != nil {
		n, _ := strconv.Atoi(m[1])
		if quiet || n < 1 || n > len(p.uids) {
			return fmt.Errorf("%s, with %d messages", line, len(p.uids))
		}
		p.uids = slices.Delete(p.uids, n-1, n)
	}
	if m := existsLine.FindStringSubmatch(line); m != nil {
		n, _ := strconv.Atoi(m[1])
		if n < len(p.uids) {
			return fmt.Errorf("%s, with %d messages", line, len(p.uids))
		}
		p.uids = append(p.uids, make([]uint32, n-len(p.uids))...)
	}
	if m := uidLine.FindStringSubmatch(line); m != nil {
		n, _ := strconv.Atoi(m[1])
		uid, _ := strconv.ParseUint(m[2], 10, 32)
		if n < 1 || n > len(p.uids) || p.uids[n-1] != 0 && p.uids[n-1] != uint32(uid) {
			return fmt.Errorf("%s, but it was told otherwise: %v", line, p.uids)
		}
		p.uids[n-1] = uint32(uid)
	}
	return nil
}

// step is something that a client does.
func (p *picture) step(r *rand.Rand) error {
	n := max(1, len(p.uids))
	at := r.Intn(n) + 1
	flag := []string{`\Seen`, `\Flagged`, `\Deleted`, "word"}[r.Intn(4)]
	commands := []string{
		"NOOP", "FETCH 1:* (UID FLAGS)", "UID FETCH 1:* FLAGS", "UID SEARCH " + []string{"SEEN", "DELETED", "SUBJECT number"}[r.Intn(3)],
		fmt.Sprintf("STORE %d +FLAGS (%s)", at, flag), fmt.Sprintf("STORE %d -FLAGS (%s)", at, flag),
		fmt.Sprintf("STORE %d FLAGS.SILENT (%s)", at, flag), fmt.Sprintf("FETCH %d (UID BODY[TEXT])", at),
		fmt.Sprintf("COPY %d INBOX", at), fmt.Sprintf("COPY %d Other", at), fmt.Sprintf("UID MOVE %d Other", at),
		"EXPUNGE", "APPEND INBOX {25+}\r\nSubject: number\r\n\r\nabcd\r\n", "SEARCH ALL",
	}
	cmd := commands[r.Intn(len(commands))]
	if len(p.uids) == 0 && strings.Contains(cmd, " 1 ") {
		cmd = commands[len(commands)-2]
	}
	_, err := p.run(cmd)
	return err
}

// TestManyClientsOnOneMailbox: whatever they do at once, each is told a story
// without a contradiction, and all end with the same picture.
func TestManyClientsOnOneMailbox(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	first := h.login()
	first.do("CREATE Other")
	fill(first, 20)
	var all []*picture
	for range 5 {
		p := &picture{client: h.login()}
		if _, err := p.run("SELECT INBOX"); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	var wg sync.WaitGroup
	for i, p := range all {
		wg.Go(func() {
			r := rand.New(rand.NewSource(int64(i)))
			for range 150 {
				if err := p.step(r); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, p := range all {
		for _, cmd := range []string{"NOOP", "FETCH 1:* UID"} {
			if _, err := p.run(cmd); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(p.uids, all[0].uids) || slices.Contains(p.uids, 0) {
			t.Errorf("pictures differ:\n%v\n%v", p.uids, all[0].uids)
		}
	}
	fresh := &picture{client: h.login()}
	fresh.run("SELECT INBOX")
	fresh.run("FETCH 1:* UID")
	if !slices.Equal(fresh.uids, all[0].uids) {
		t.Errorf("a fresh session sees something else:\n%v\n%v", fresh.uids, all[0].uids)
	}
}
