package imap_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailserver/imap"
	"mailserver/storage"
)

// ledger is what must be in the mailboxes after all that clients were told. A
// message is known by the word in its Subject.
type ledger struct {
	sync.Mutex
	have  map[string]map[uint32]*entry // mailbox, UID
	maybe map[string]int               // "mailbox word": came, perhaps, from a command without an answer
	words int
	cut   []cutTransfer
}

// cutTransfer is a COPY or MOVE of a message that was never answered.
type cutTransfer struct {
	from, to string
	uid      uint32
}

// settle gives each unanswered transfer its word, now that all have said what
// they made. What was made without an answer, too, has none.
func (l *ledger) settle() (unknown map[string]int) {
	unknown = map[string]int{}
	for _, c := range l.cut {
		if word := l.word(c.from, c.uid); word != "" {
			l.perhaps(c.to, word)
		} else {
			unknown[c.to]++
		}
	}
	return unknown
}

type entry struct {
	word     string
	gone     bool
	maybe    bool // gone, perhaps
	validity string
}

func newLedger() *ledger {
	return &ledger{have: map[string]map[uint32]*entry{}, maybe: map[string]int{}}
}

func (l *ledger) box(name string) map[uint32]*entry {
	if l.have[name] == nil {
		l.have[name] = map[uint32]*entry{}
	}
	return l.have[name]
}

// add is called for each new message that a client was told of.
func (l *ledger) add(box string, uid uint32, word, validity string) error {
	l.Lock()
	defer l.Unlock()
	e := l.entry(box, uid)
	if e.validity != "" {
		return fmt.Errorf("UID %d of %s was given twice: %s, %s", uid, box, e.word, word)
	}
	e.word, e.validity = word, validity
	return nil
}

// entry makes one if need be: who removes a message may say so before who made
// it.
func (l *ledger) entry(box string, uid uint32) *entry {
	e := l.box(box)[uid]
	if e == nil {
		e = &entry{}
		l.box(box)[uid] = e
	}
	return e
}

func (l *ledger) word(box string, uid uint32) string {
	l.Lock()
	defer l.Unlock()
	if e := l.box(box)[uid]; e != nil {
		return e.word
	}
	return ""
}

func (l *ledger) remove(box string, uid uint32, surely bool) {
	l.Lock()
	defer l.Unlock()
	e := l.entry(box, uid)
	e.gone = e.gone || surely
	e.maybe = true
}

func (l *ledger) perhaps(box, word string) {
	l.Lock()
	defer l.Unlock()
	l.maybe[box+" "+word]++
}

// worker is a client that does things at random.
type worker struct {
	l     *ledger
	r     *rand.Rand
	boxes []string
	box   string // selected
	conn  net.Conn
	in    *bufio.Reader
	count int // messages, as told
	uids  map[uint32]bool
	n     int
}

var errCut = errors.New("connection lost")

func (w *worker) connect(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return errCut
	}
	w.conn, w.in = conn, bufio.NewReader(conn)
	if _, err := w.read(); err != nil {
		return err
	}
	if _, err := w.do("LOGIN joe@vmail.example joes-secret"); err != nil {
		return err
	}
	return w.choose(w.boxes[w.r.IntN(len(w.boxes))])
}

func (w *worker) choose(box string) error {
	w.box, w.count, w.uids = box, 0, map[uint32]bool{}
	_, err := w.do("SELECT " + box)
	return err
}

func (w *worker) read() (string, error) {
	w.conn.SetReadDeadline(time.Now().Add(5 * time.Minute))
	line, err := w.in.ReadString('\n')
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return "", fmt.Errorf("no answer in 30 s after %q", line)
	}
	if err != nil {
		return "", errCut
	}
	return line, nil
}

// do sends a command, follows what comes, and returns all of it.
func (w *worker) do(command string) ([]string, error) {
	w.n++
	tag := fmt.Sprintf("w%d ", w.n)
	if _, err := io.WriteString(w.conn, tag+command+"\r\n"); err != nil {
		return nil, errCut
	}
	var lines []string
	for {
		line, err := w.read()
		if err != nil {
			return lines, err
		}
		lines = append(lines, line)
		if err := w.follow(line); err != nil {
			return lines, fmt.Errorf("%s: %w", command, err)
		}
		rest, last := strings.CutPrefix(line, tag)
		if strings.HasPrefix(line, "* BYE") || last && (strings.HasPrefix(rest, "BAD") || strings.Contains(rest, "SERVERBUG")) {
			return lines, fmt.Errorf("%s: %s", command, line)
		}
		if last {
			return lines, nil
		}
	}
}

func (w *worker) follow(line string) error {
	if m := existsLine.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
		n, _ := strconv.Atoi(m[1])
		if n < w.count {
			return fmt.Errorf("%s after %d", line, w.count)
		}
		w.count = n
	}
	if m := expungeLine.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
		n, _ := strconv.Atoi(m[1])
		if n < 1 || n > w.count {
			return fmt.Errorf("%s of %d", line, w.count)
		}
		w.count--
	}
	if m := uidLine.FindStringSubmatch(line); m != nil {
		n, _ := strconv.Atoi(m[1])
		uid, _ := strconv.Atoi(m[2])
		if n < 1 || n > w.count {
			return fmt.Errorf("%s of %d", line, w.count)
		}
		w.uids[uint32(uid)] = true
	}
	return nil
}

// some is a UID that this client has heard of; 0 if there is none.
func (w *worker) some() uint32 {
	for uid := range w.uids {
		return uid
	}
	return 0
}

// step does one thing.
func (w *worker) step() (err error) {
	uid := w.some()
	switch k := w.r.IntN(20); {
	case k < 4 || uid == 0:
		return w.appendOne()
	case k < 6:
		_, err = w.do(fmt.Sprintf("UID STORE %d %sFLAGS%s (%s)", uid, []string{"+", "-"}[w.r.IntN(2)], []string{"", ".SILENT"}[w.r.IntN(2)], []string{`\Seen`, `\Flagged`, "work"}[w.r.IntN(3)]))
	case k < 9:
		return w.transfer("COPY", uid)
	case k < 12:
		return w.transfer("MOVE", uid)
	case k < 15:
		return w.expunge(uid)
	case k < 16:
		_, err = w.do("UID FETCH 1:* (UID FLAGS)")
	case k < 17:
		_, err = w.do(fmt.Sprintf("UID FETCH %d:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])", max(1, int(uid)-3)))
	case k < 18:
		return w.idle()
	case k < 19 && len(w.boxes) > 1:
		return w.choose(w.boxes[w.r.IntN(len(w.boxes))])
	default:
		_, err = w.do([]string{"NOOP", "SEARCH ALL", "UID SEARCH SEEN", "CHECK", "STATUS " + w.box + " (MESSAGES UIDNEXT)"}[w.r.IntN(5)])
	}
	return err
}

func (w *worker) idle() error {
	io.WriteString(w.conn, "idle IDLE\r\n")
	time.Sleep(time.Duration(w.r.IntN(20)) * time.Millisecond)
	io.WriteString(w.conn, "DONE\r\n")
	for {
		line, err := w.read()
		if err != nil {
			return err
		}
		if err := w.follow(line); err != nil {
			return fmt.Errorf("IDLE: %w", err)
		}
		if strings.HasPrefix(line, "idle OK") {
			return nil
		}
	}
}

var (
	appendUID = regexp.MustCompile(`\[APPENDUID (\d+) (\d+)\]`)
	copyUIDs  = regexp.MustCompile(`\[COPYUID (\d+) ([\d:,]+) ([\d:,]+)\]`)
)

func (w *worker) appendOne() error {
	w.l.Lock()
	w.l.words++
	word := fmt.Sprintf("word%d", w.l.words)
	w.l.Unlock()
	box := w.boxes[w.r.IntN(len(w.boxes))]
	text := "Subject: " + word + "\r\n\r\n" + strings.Repeat("text\r\n", w.r.IntN(40))
	lines, err := w.do(fmt.Sprintf("APPEND %s {%d+}\r\n%s", box, len(text), text))
	if err != nil {
		w.l.perhaps(box, word)
		return err
	}
	m := appendUID.FindStringSubmatch(lines[len(lines)-1])
	if m == nil {
		return fmt.Errorf("APPEND: %s", lines[len(lines)-1])
	}
	uid, _ := strconv.Atoi(m[2])
	if box == w.box {
		w.uids[uint32(uid)] = true
	}
	return w.l.add(box, uint32(uid), word, m[1])
}

// transfer copies or moves a message and perhaps its neighbours.
func (w *worker) transfer(verb string, uid uint32) error {
	to := w.boxes[w.r.IntN(len(w.boxes))]
	from := w.box
	lines, err := w.do(fmt.Sprintf("UID %s %d:%d %s", verb, uid, uid+uint32(w.r.IntN(3)), to))
	found := false
	for _, line := range lines {
		if m := copyUIDs.FindStringSubmatch(line); m != nil {
			found = true
			if err := w.copied(verb, from, to, m); err != nil {
				return err
			}
		}
	}
	if err != nil && !found { // nobody knows
		for u := uid; u < uid+3; u++ {
			w.l.Lock()
			w.l.cut = append(w.l.cut, cutTransfer{from, to, u})
			w.l.Unlock()
			if verb == "MOVE" {
				w.l.remove(from, u, false)
			}
		}
	}
	if err == nil && !found {
		delete(w.uids, uid)
	}
	return err
}

func (w *worker) copied(verb, from, to string, m []string) error {
	source, dest := numbers(m[2]), numbers(m[3])
	if len(source) != len(dest) {
		return fmt.Errorf("%s: %s", verb, m[0])
	}
	for i := range source {
		// Whoever made the source may not have said so yet.
		word := ""
		for range 1000 {
			if word = w.l.word(from, source[i]); word != "" {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if err := w.l.add(to, dest[i], word, m[1]); err != nil {
			return err
		}
		if verb == "MOVE" {
			w.l.remove(from, source[i], true)
			delete(w.uids, source[i])
		}
	}
	return nil
}

func (w *worker) expunge(uid uint32) error {
	delete(w.uids, uid)
	if _, err := w.do(fmt.Sprintf(`UID STORE %d +FLAGS.SILENT (\Deleted)`, uid)); err != nil {
		return err
	}
	box := w.box
	w.l.remove(box, uid, false)
	_, err := w.do(fmt.Sprintf("UID EXPUNGE %d", uid))
	if err == nil {
		w.l.remove(box, uid, true)
	}
	return err
}

func numbers(set string) (list []uint32) {
	for _, r := range strings.Split(set, ",") {
		first, last, ok := strings.Cut(r, ":")
		from, _ := strconv.Atoi(first)
		to := from
		if ok {
			to, _ = strconv.Atoi(last)
		}
		for n := from; n <= to; n++ {
			list = append(list, uint32(n))
		}
	}
	return list
}

// verify compares what is there with the ledger.
func (l *ledger) verify(t *testing.T, w *worker) {
	t.Helper()
	total, unknown := 0, l.settle()
	for _, box := range w.boxes {
		if err := w.choose(box); err != nil {
			t.Fatal(err)
		}
		there := map[uint32]string{}
		lines, err := w.do("UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
		if err != nil {
			t.Fatal(err)
		}
		uid := uint32(0)
		for _, line := range lines {
			if m := uidLine.FindStringSubmatch(line); m != nil {
				n, _ := strconv.Atoi(m[2])
				uid = uint32(n)
			}
			if word, ok := strings.CutPrefix(line, "Subject: "); ok {
				there[uid] = strings.TrimSpace(word)
			}
		}
		total += len(there)
		for uid, word := range there {
			e := l.box(box)[uid]
			switch {
			case (e == nil || e.validity == "") && l.maybe[box+" "+word] > 0:
				l.maybe[box+" "+word]--
			case (e == nil || e.validity == "") && unknown[box] > 0:
				unknown[box]--
			case e == nil || e.validity == "" && e.gone:
				t.Errorf("%s has UID %d, %s, which nobody put there", box, uid, word)
			case e.gone:
				t.Errorf("%s still has UID %d, %s", box, uid, word)
			case e.word != word && e.word != "":
				t.Errorf("%s: UID %d is %s, not %s", box, uid, word, e.word)
			}
		}
		for uid, e := range l.box(box) {
			if !e.gone && !e.maybe && there[uid] == "" {
				t.Errorf("%s has lost UID %d, %s", box, uid, e.word)
			}
		}
	}
	t.Logf("%d messages made, %d there", l.words, total)
}

// away is a client that looks, leaves, and comes back by QRESYNC.
type away struct {
	box, validity, modSeq string
	flags                 map[uint32]string
}

var (
	validityLine = regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`)
	modSeqLine   = regexp.MustCompile(`\[HIGHESTMODSEQ (\d+)\]`)
	uidFlags     = regexp.MustCompile(`^\* \d+ FETCH \(UID (\d+) (?:MODSEQ \(\d+\) )?FLAGS \(([^)]*)\)`)
	vanishedLine = regexp.MustCompile(`^\* VANISHED (?:\(EARLIER\) )?([\d:,]+)`)
)

func flagsOf(lines []string, into map[uint32]string) {
	for _, line := range lines {
		if m := uidFlags.FindStringSubmatch(line); m != nil {
			uid, _ := strconv.Atoi(m[1])
			into[uint32(uid)] = strings.TrimSpace(strings.ReplaceAll(m[2], `\Recent`, ""))
		}
		if m := vanishedLine.FindStringSubmatch(line); m != nil {
			for _, uid := range numbers(m[1]) {
				delete(into, uid)
			}
		}
	}
}

func (w *worker) leave(box string) (*away, error) {
	if _, err := w.do("ENABLE QRESYNC"); err != nil {
		return nil, err
	}
	lines, err := w.do("SELECT " + box)
	if err != nil {
		return nil, err
	}
	all := strings.Join(lines, "")
	a := &away{box: box, validity: validityLine.FindStringSubmatch(all)[1], modSeq: modSeqLine.FindStringSubmatch(all)[1], flags: map[uint32]string{}}
	lines, err = w.do("UID FETCH 1:* (FLAGS)")
	flagsOf(lines, a.flags)
	return a, err
}

func (a *away) comeBack(t *testing.T, w *worker) {
	t.Helper()
	w.do("ENABLE QRESYNC")
	w.count = 0
	lines, err := w.do(fmt.Sprintf("SELECT %s (QRESYNC (%s %s))", a.box, a.validity, a.modSeq))
	if err != nil {
		t.Fatal(err)
	}
	flagsOf(lines, a.flags)
	fresh := map[uint32]string{}
	lines, err = w.do("UID FETCH 1:* (FLAGS)")
	if err != nil {
		t.Fatal(err)
	}
	flagsOf(lines, fresh)
	if len(fresh) != len(a.flags) {
		t.Errorf("%s: %d messages by QRESYNC, %d fresh", a.box, len(a.flags), len(fresh))
	}
	for uid, f := range fresh {
		if a.flags[uid] != f {
			t.Errorf("%s: UID %d has %q by QRESYNC, %q fresh", a.box, uid, a.flags[uid], f)
		}
	}
}

// hammer lets clients work for a time, and checks what they leave.
func hammer(t *testing.T, boxes []string, clients int, last time.Duration, s *killable) {
	l := newLedger()
	one := &worker{l: l, r: rand.New(rand.NewPCG(1, 1)), boxes: []string{"INBOX"}}
	if err := one.connect(s.addr()); err != nil {
		t.Fatal(err)
	}
	for _, b := range boxes {
		one.do("CREATE " + b)
	}
	gone, err := one.leave(boxes[0])
	if err != nil {
		t.Fatal(err)
	}
	one.conn.Close()
	end := time.Now().Add(last)
	var wg sync.WaitGroup
	steps := make([]int, clients)
	for i := range clients {
		wg.Go(func() {
			w := &worker{l: l, r: rand.New(rand.NewPCG(uint64(i), *ledgerSeed)), boxes: boxes}
			for time.Now().Before(end) && !t.Failed() {
				if w.conn == nil {
					if err := w.connect(s.addr()); errors.Is(err, errCut) {
						w.conn = nil
						time.Sleep(10 * time.Millisecond)
						continue
					} else if err != nil {
						t.Error(err)
						return
					}
				}
				err := w.step()
				steps[i]++
				if errors.Is(err, errCut) && s.kills {
					w.conn.Close()
					w.conn = nil
				} else if err != nil {
					t.Error(err)
					return
				}
			}
			if w.conn != nil {
				w.conn.Close()
			}
		})
	}
	if s.kills {
		wg.Go(func() {
			for time.Until(end) > last/4 {
				time.Sleep(min(last/6, *killEvery))
				s.kill(t)
			}
		})
	}
	wg.Wait()
	back := &worker{l: l, r: rand.New(rand.NewPCG(2, 1)), boxes: boxes}
	if err := back.connect(s.addr()); err != nil {
		t.Fatal(err)
	}
	defer back.conn.Close()
	gone.comeBack(t, back)
	l.verify(t, back)
	total := 0
	for _, n := range steps {
		total += n
	}
	t.Logf("%d steps of %d clients in %d mailboxes in %v", total, clients, len(boxes), last)
}

// killable is a server in a process of its own, or in this one.
type killable struct {
	sync.Mutex
	at    string
	kills bool
	dir   string
	cmd   *exec.Cmd
	in    io.Closer
}

func (s *killable) addr() string {
	s.Lock()
	defer s.Unlock()
	return s.at
}

// start runs this test program as a server on the same directory.
func (s *killable) start(t *testing.T) {
	s.cmd = exec.Command(os.Args[0], "-test.run=TestServeLedger$")
	s.cmd.Env = append(os.Environ(), "LEDGER_DIR="+s.dir)
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, out)
	s.Lock()
	s.at = strings.TrimSpace(line)
	s.Unlock()
}

func (s *killable) kill(t *testing.T) {
	s.cmd.Process.Signal(syscall.SIGKILL)
	s.cmd.Wait()
	s.start(t)
}

// TestServeLedger is no test: it is the server of TestLedgerKilled.
func TestServeLedger(t *testing.T) {
	dir := os.Getenv("LEDGER_DIR")
	if dir == "" {
		t.Skip("run by TestLedgerKilled")
	}
	h := openAt(t, dir, imap.ListenerOptions{}, map[string]string{"mail_max_userip_connections": "0"})
	fmt.Println(h.addr)
	io.Copy(io.Discard, os.Stdin) // until the parent goes
}

// How long clients work, and how often the server dies meanwhile, for runs by
// hand: go test ./imap -run Ledger -args -ledger 10m -kill 1s
var (
	ledgerLast  = flag.Duration("ledger", 0, "how long the clients of the ledger's tests work")
	killEvery   = flag.Duration("kill", time.Minute, "how often the server of TestLedgerKilled is killed, at least")
	ledgerCount = flag.Int("boxes", 5, "how many mailboxes the clients of TestLedgerKilled use")
	ledgerSeed  = flag.Uint64("seed", 7, "what the clients choose at random")
)

func ledgerTime() time.Duration {
	if *ledgerLast > 0 {
		return *ledgerLast
	}
	if os.Getenv("MAILSERVER_LONG") == "1" {
		return 10 * time.Minute
	}
	return 2 * time.Second
}

func ledgerBoxes(n int) []string {
	boxes := []string{"INBOX"}
	for i := range n - 1 {
		boxes = append(boxes, fmt.Sprintf("box%d", i))
	}
	return boxes
}

// TestLedger: 20 clients do what they like on one mailbox, then on 20. No
// protocol error, no lost or double message; a client that was away is told all.
func TestLedger(t *testing.T) {
	for _, n := range []int{1, 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h := open(t, imap.ListenerOptions{}, map[string]string{"mail_max_userip_connections": "0"})
			hammer(t, ledgerBoxes(n), 20, ledgerTime(), &killable{at: h.addr})
			h.clean(t)
		})
	}
}

// TestLedgerKilled: the same, with the server killed again and again.
func TestLedgerKilled(t *testing.T) {
	s := &killable{kills: true, dir: t.TempDir()}
	s.start(t)
	hammer(t, ledgerBoxes(*ledgerCount), 20, ledgerTime(), s)
	s.in.Close()
	s.cmd.Wait()
	h := openAt(t, s.dir, imap.ListenerOptions{}, nil)
	h.clean(t)
}

// clean checks index and tree.
func (h *house) clean(t *testing.T) {
	t.Helper()
	list, err := h.store.Check(t.Context(), storage.Spec{User: "joe@vmail.example", Dir: filepath.Join(h.dir, "mail", "joe@vmail.example"), UID: -1, GID: -1})
	if err != nil {
		t.Error(err)
	}
	for _, d := range list {
		t.Error(d)
	}
}
