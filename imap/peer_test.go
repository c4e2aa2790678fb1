package imap_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"mailserver/imap"
	"mailserver/internal/dialogtest"
)

// The scripts in testdata/peer are played to Dovecot's imap process and to us,
// on equal trees, and the answers compared. A line is a command:
//
//	$n          once for each message of the first mailbox
//	{{a|b|c}}   once for each of the alternatives
//	[b] ...     from another session
//	= "..."     as it stands, with Go's escapes
//	~ word: ... the answers differ; docs/decisions says why at the word
//	# ...       remark
//
// After each command a NOOP is sent, so that whatever comes is seen.

// peerPatience is how long a session may take; it ends what hangs.
const peerPatience = 5 * time.Minute

const dovecotIMAP = "/usr/lib/dovecot/imap"

// peerRoot is a tree for one of the two, made of testdata/peer/mail.txtar.
func peerRoot(t *testing.T, messages []txtar.File) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "peer")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	for i, f := range messages {
		box, flags, _ := strings.Cut(f.Name, ":")
		if box == "INBOX" {
			box = ""
		}
		if flags == "raw" {
			must(t, os.WriteFile(filepath.Join(dir, "md", box), f.Data, 0o666))
			continue
		}
		for _, sub := range []string{"cur", "new", "tmp"} {
			must(t, os.MkdirAll(filepath.Join(dir, "md", box, sub), 0o777))
		}
		text := f.Data
		if strings.Contains(flags, "#") { // CRLF in the file
			text = []byte(strings.ReplaceAll(string(text), "\n", "\r\n"))
		}
		at := time.Date(2024, 3, 1+i, 12, 30, i, 0, time.UTC)
		name := filepath.Join(dir, "md", box, "cur", fmt.Sprintf("%010d.M1P1.host:2,%s", at.Unix(), strings.Trim(flags, "#")))
		must(t, os.WriteFile(name, text, 0o666))
		must(t, os.Chtimes(name, at, at))
	}
	return dir
}

const peerConfig = `log_path = %[1]s/log
ssl = no
base_dir = %[1]s/run
mail_location = maildir:%[1]s/md
mail_plugins = quota acl
mail_attribute_dict = file:%[1]s/attributes
mail_max_keyword_length = 50
mail_server_admin = mailto:postmaster@vmail.example
protocol imap {
  mail_plugins = quota acl imap_quota imap_acl imap_zlib
  imap_metadata = yes
}
namespace inbox {
  inbox = yes
  separator = .
  mailbox Drafts {
    special_use = \Drafts
  }
  mailbox Junk {
    special_use = \Junk
  }
  mailbox Trash {
    special_use = \Trash
  }
  mailbox Sent {
    special_use = \Sent
  }
}
plugin {
  acl = vfile
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:storage=10M:messages=1000
}
`

// peer is one of the two, with its sessions by name.
type peer struct {
	t        *testing.T
	name     string
	open     func() (io.Writer, *bufio.Reader)
	openAs   func(session string) (io.Writer, *bufio.Reader) // nil: open; else a session is called by its user
	sessions map[string]*peerSession
	n        int
}

type peerSession struct {
	in  io.Writer
	out *bufio.Reader
}

func dovecotPeer(t *testing.T, dir string) *peer {
	openAs := dovecotSessions(t, dir, fmt.Sprintf(peerConfig, dir))
	return &peer{t: t, name: "dovecot", sessions: map[string]*peerSession{}, open: func() (io.Writer, *bufio.Reader) {
		return openAs("joe@vmail.example")
	}}
}

// dovecotSessions opens sessions of users of a Dovecot whose files are in dir.
func dovecotSessions(t *testing.T, dir, config string) func(user string) (io.Writer, *bufio.Reader) {
	if _, err := os.Stat(dovecotIMAP); err != nil {
		if os.Getenv("MAILSERVER_PEERS") == "1" {
			t.Fatal("dovecot is not installed")
		}
		t.Skip("dovecot is not installed")
	}
	must(t, os.Mkdir(filepath.Join(dir, "run"), 0o777))
	conf := filepath.Join(dir, "dovecot.conf")
	must(t, os.WriteFile(conf, []byte(config), 0o666))
	var attr *syscall.SysProcAttr
	if os.Getuid() == 0 { // which Dovecot does not accept for mail
		const nobody = 65534
		must(t, filepath.Walk(dir, func(p string, _ os.FileInfo, err error) error { return os.Chown(p, nobody, nobody) }))
		attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return func(user string) (io.Writer, *bufio.Reader) {
		cmd := exec.Command(dovecotIMAP, "-c", conf)
		cmd.Env = []string{"USER=" + user, "HOME=" + dir, "TZ=" + os.Getenv("TZ")}
		cmd.SysProcAttr = attr
		in, err := cmd.StdinPipe()
		must(t, err)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		out.(*os.File).SetReadDeadline(time.Now().Add(peerPatience))
		t.Cleanup(func() { in.Close(); cmd.Wait() })
		r := bufio.NewReader(out)
		response(t, r)
		return in, r
	}
}

func ourPeer(t *testing.T, h *house) *peer {
	openAs := ourSessions(t, h)
	return &peer{t: t, name: "ours", sessions: map[string]*peerSession{}, open: func() (io.Writer, *bufio.Reader) {
		return openAs("joe@vmail.example")
	}}
}

func ourSessions(t *testing.T, h *house) func(user string) (io.Writer, *bufio.Reader) {
	return func(user string) (io.Writer, *bufio.Reader) {
		c, err := net.Dial("tcp", h.addr)
		must(t, err)
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(peerPatience))
		r := bufio.NewReader(c)
		response(t, r)
		io.WriteString(c, "l LOGIN "+user+" "+dialogtest.Password(user)+"\r\n")
		response(t, r)
		return c, r
	}
}

// response reads a line with the literals in it.
func response(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return b.String() + "<" + err.Error() + ">"
		}
		open := strings.LastIndexByte(line, '{')
		if open < 0 || !strings.HasSuffix(line, "}\r\n") {
			return b.String()
		}
		n, err := strconv.Atoi(line[open+1 : len(line)-3])
		if err != nil {
			return b.String()
		}
		if _, err := io.CopyN(&b, r, int64(n)); err != nil {
			return b.String() + "<" + err.Error() + ">"
		}
	}
}

// say sends a command and returns all that comes until the NOOP after it is
// answered.
func (p *peer) say(session, command string, raw bool) []string {
	s := p.sessions[session]
	if s == nil {
		s = &peerSession{}
		if p.openAs != nil {
			s.in, s.out = p.openAs(session)
		} else {
			s.in, s.out = p.open()
		}
		p.sessions[session] = s
	}
	p.n++
	if !raw {
		command = fmt.Sprintf("t%d %s\r\n", p.n, command)
	}
	fence := fmt.Sprintf("f%d", p.n)
	var lines []string
	if first, rest, ok := strings.Cut(command, "IDLE\r\n"); ok { // Dovecot waits for input after "+"
		io.WriteString(s.in, first+"IDLE\r\n")
		lines, command = append(lines, response(p.t, s.out)), rest
	}
	io.WriteString(s.in, command+fence+" NOOP\r\n")
	for {
		l := response(p.t, s.out)
		if strings.HasPrefix(l, fence+" ") {
			return lines
		}
		lines = append(lines, l)
		if strings.HasSuffix(l, ">") {
			delete(p.sessions, session)
			return lines
		}
	}
}

// expand writes a line out for each message and each alternative.
func expand(line string, messages int) []string {
	if before, rest, ok := strings.Cut(line, "{{"); ok {
		list, after, _ := strings.Cut(rest, "}}")
		var out []string
		for _, a := range strings.Split(list, "|") {
			out = append(out, expand(before+a+after, messages)...)
		}
		return out
	}
	if !strings.Contains(line, "$n") {
		return []string{line}
	}
	var out []string
	for i := range messages {
		out = append(out, strings.ReplaceAll(line, "$n", strconv.Itoa(i+1)))
	}
	return out
}

func TestPeerDovecot(t *testing.T) {
	mail, err := txtar.ParseFile("testdata/peer/mail.txtar")
	must(t, err)
	scripts, err := filepath.Glob("testdata/peer/*.txt")
	must(t, err)
	reasons, err := filepath.Glob("../docs/decisions/*-imap-*.md")
	must(t, err)
	var why strings.Builder
	for _, f := range reasons {
		text, err := os.ReadFile(f)
		must(t, err)
		why.Write(text)
	}
	total := 0
	for _, name := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			must(t, err)
			total += comparePeers(t, mail.Files, string(text), why.String())
		})
	}
	t.Logf("%d commands", total)
}

func comparePeers(t *testing.T, mail []txtar.File, script, why string) (count int) {
	messages := 0
	for _, f := range mail {
		if strings.HasPrefix(f.Name, "INBOX:") {
			messages++
		}
	}
	theirs := dovecotPeer(t, peerRoot(t, mail))
	h := open(t, imap.ListenerOptions{}, map[string]string{"mail_max_userip_connections": "0"})
	h.quota = 10 << 20
	h.messages.Store(1000)
	must(t, os.MkdirAll(filepath.Join(h.dir, "mail"), 0o777))
	must(t, os.Rename(filepath.Join(peerRoot(t, mail), "md"), filepath.Join(h.dir, "mail", "joe@vmail.example")))
	ours := ourPeer(t, h)
	// What is in the trees is not new.
	theirs.say("w", "ENABLE CONDSTORE", false)
	for _, box := range []string{"INBOX", "Sent", "Lists.go", "Lists.c.deep", "K&APY-ln", "\"with space\"", "Trash"} {
		theirs.say("w", "SELECT "+box, false)
		ours.say("", "SELECT "+box, false)
	}
	theirs.say("w", "LOGOUT", false)
	ours.say("", "UNSELECT", false)
	for _, line := range strings.Split(script, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		for _, one := range expand(line, messages) {
			count++
			differs, one := cutReason(t, one, why)
			session, raw := "", false
			if strings.HasPrefix(one, "[") {
				session, one, _ = strings.Cut(one[1:], "] ")
			}
			command := one
			if quoted, ok := strings.CutPrefix(one, "= "); ok {
				raw = true
				command, err := strconv.Unquote(quoted)
				must(t, err)
				one = command
			}
			if raw {
				command = one
			}
			want, got := normalise(theirs.say(session, command, raw)), normalise(ours.say(session, command, raw))
			if same := slices.Equal(want, withoutCode(got, want)); same == differs {
				t.Errorf("%s\n--- dovecot\n%s--- ours\n%s", command, strings.Join(want, ""), strings.Join(got, ""))
			}
		}
	}
	return count
}

func cutReason(t *testing.T, line, why string) (bool, string) {
	if !strings.HasPrefix(line, "~ ") {
		return false, line
	}
	word, rest, _ := strings.Cut(line[2:], ": ")
	if !strings.Contains(why, "`"+word+"`") {
		t.Errorf("no decision says why %q differs", word)
	}
	return true, rest
}
