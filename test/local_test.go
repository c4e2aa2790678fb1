package test

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailserver/internal/testport"
)

// localCase is mail to one local name. In texts %D is the directory of the
// world, %U the user of the case.
type localCase struct {
	name    string
	aliases [][]string        // name, targets; %A is the name of the case
	home    map[string]string // files below the home of the user; "" needs none
	mode    map[string]fs.FileMode
	to      string // local part: %U or %A or with extension
	// ours is why our outcome differs on purpose; the outcome is then this.
	ours, why string
}

func localCases() []localCase {
	alias := func(name, to string, targets ...string) localCase {
		return localCase{name: name, to: to, aliases: [][]string{append([]string{"%A"}, targets...)}}
	}
	forward := func(name, to, text string) localCase {
		return localCase{name: name, to: to, home: map[string]string{".forward": text}}
	}
	var list []localCase
	for _, code := range []int{0, 1, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 100, 126} {
		list = append(list, alias(fmt.Sprintf("exit %d", code), "%A", fmt.Sprintf("|%%D/tool exit%d %d", code, code)))
	}
	return append(list,
		alias("command: environment and text", "%A+Ex-t", "|%D/tool aliasenv"),
		alias("command: a shell is needed", "%A", "|cat > %D/out/shell; exit 0"),
		alias("command: not there", "%A", "|/nonexistent/program x"),
		alias("command: signal", "%A", "|kill -9 $$"),
		alias("command: its words", "%A", "|echo one; echo two; exit 69"),
		alias("command: its code", "%A", "|echo 4.2.2 mailbox full; exit 1"),
		alias("command: its code, for good", "%A", "|echo 5.7.17 no; exit 75"),
		alias("command: time", "%A", "|sleep 100; exit 0"),
		alias("command: reads nothing", "%A", "|true"),
		alias("file", "%A", "%D/out/file"),
		alias("file: a Maildir", "%A", "%D/out/maildir/"),
		alias("file: no directory", "%A", "%D/none/file"),
		alias("file: may not be written", "%A", "%D/rootonly"),
		alias("file: executable", "%A", "%D/tool"),
		alias("file: /dev/null", "%A", "/dev/null"),
		alias("two targets, one fails", "%A", "%D/out/two", "|exit 67"),
		alias("unknown", "nobody-has-this-name"),
		alias("alias to unknown", "%A", "nobody-has-this-name"),
		alias("include", "%A", ":include:%D/list"),
		waits(alias("include: missing", "%A", ":include:%D/none")),
		waits(alias("include: a directory", "%A", ":include:%D/out")),
		waits(alias("include: everybody may write", "%A", ":include:%D/openlist")),
		alias("include: command", "%A", ":include:%D/badlist"),
		localCase{name: "alias of a user with itself", to: "%U", home: map[string]string{}, aliases: [][]string{{"%U", "%U", "%D/out/copy"}}},
		localCase{name: "owner", to: "%A", aliases: [][]string{{"%A", "|%D/tool owner", "sink"}, {"owner-%A", "postmaster"}}},
		localCase{name: "chain", to: "%A", aliases: [][]string{{"%A", "%A-b"}, {"%A-b", "|%D/tool chain"}}},
		localCase{name: "mailbox", to: "%U", home: map[string]string{}},
		localCase{name: "mailbox, extension, case", to: "%U+Ext", home: map[string]string{}},
		forward(".forward: command", "%U+ext", "\"|%D/tool forwardenv\"\n"),
		forward(".forward: command without quotes", "%U", "|%D/tool bare\n"),
		forward(".forward: exit 75", "%U", "|exit 75\n"),
		forward(".forward: exit 77", "%U", "|exit 77\n"),
		forward(".forward: user and another", "%U", "\\%U, sink\n"),
		forward(".forward: user by name", "%U", "%U\n"),
		forward(".forward: file", "%U", "%D/home/%U/mbox\n"),
		forward(".forward: maildir", "%U", "%D/home/%U/Box/\n"),
		forward(".forward: empty", "%U", "# nothing\n"),
		forward(".forward: other user's file", "%U", "%D/rootonly\n"),
		forward(".forward: include of the user", "%U", ":include:%D/home/%U/.forward2\n"),
		localCase{name: ".forward+ext", to: "%U+ext", home: map[string]string{".forward": "%D/home/%U/plain\n", ".forward+ext": "%D/home/%U/ext\n"}},
		localCase{name: ".forward+ext is for ext", to: "%U", home: map[string]string{".forward+ext": "%D/home/%U/ext\n"}},
		localCase{name: ".forward: everybody may write", to: "%U", home: map[string]string{".forward": "%D/home/%U/x\n"}, mode: map[string]fs.FileMode{".forward": 0o666}},
		localCase{name: ".forward: alias of another", to: "%U", home: map[string]string{".forward": "%A\n"}, aliases: [][]string{{"%A", "|%D/tool viaforward"}}},
	)
}

// waits: Postfix bounces, 5.3.5; here mail waits for the operator to mend it.
func waits(c localCase) localCase {
	c.ours, c.why = "deferred 4.2.0", "the file may be in the making"
	return c
}

// world is the system that both servers find: users, homes, aliases, files.
type world struct {
	t     *testing.T
	dir   string
	cases []localCase
	users []string
}

const localDomain = "mx.local.test"

// newWorld adds users to the system, for as long as the test runs.
func newWorld(t *testing.T, cases []localCase) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "local8-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	w := &world{t: t, dir: dir, cases: cases, users: make([]string, len(cases))}
	for i, c := range cases {
		if c.home != nil {
			w.users[i] = w.addUser(fmt.Sprintf("mt%d-%02d", os.Getpid()%10000, i))
		}
	}
	return w
}

func (w *world) addUser(name string) string {
	w.t.Helper()
	if out, err := exec.Command("useradd", "--no-create-home", "--home-dir", filepath.Join(w.dir, "home", name), "--shell", "/bin/sh", name).CombinedOutput(); err != nil {
		w.t.Fatalf("useradd: %v\n%s", err, out)
	}
	w.t.Cleanup(func() { exec.Command("userdel", name).Run() })
	return name
}

func (w *world) fill(i int, text string) string {
	return strings.NewReplacer("%D", w.dir, "%U", w.users[i], "%A", fmt.Sprintf("case%02d", i)).Replace(text)
}

// tool notes who runs it, with what; then it ends with a code.
const tool = `#!/bin/sh
{ echo "args $*"; id -un; id -Gn; env | sort; cat; } > %D/out/$1
exit ${2:-0}
`

// reset makes the files anew.
func (w *world) reset() {
	w.t.Helper()
	for _, sub := range []string{"out", "home", "rootonly", "list", "badlist", "openlist"} {
		os.RemoveAll(filepath.Join(w.dir, sub))
	}
	write := func(name, text string, mode fs.FileMode) {
		path := filepath.Join(w.dir, name)
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "%D", w.dir)), mode); err != nil {
			w.t.Fatal(err)
		}
		os.Chmod(path, mode)
	}
	os.Mkdir(filepath.Join(w.dir, "out"), 0o777)
	os.Chmod(filepath.Join(w.dir, "out"), 0o1777)
	os.Mkdir(filepath.Join(w.dir, "home"), 0o755)
	write("tool", tool, 0o755)
	write("rootonly", "", 0o600)
	write("list", "# members\nsink,\n sink2\n", 0o644)
	write("badlist", "|%D/tool included\n", 0o644)
	write("openlist", "sink\n", 0o666)
	for i, c := range w.cases {
		if c.home == nil {
			continue
		}
		u, _ := user.Lookup(w.users[i])
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		home := filepath.Join("home", w.users[i])
		os.Mkdir(filepath.Join(w.dir, home), 0o755)
		os.Chown(filepath.Join(w.dir, home), uid, gid)
		files := map[string]string{".forward2": "sink\n"}
		for name, text := range c.home {
			files[name] = w.fill(i, text)
		}
		for name, text := range files {
			mode, ok := c.mode[name]
			if !ok {
				mode = 0o644
			}
			write(filepath.Join(home, name), text, mode)
			os.Chown(filepath.Join(w.dir, home, name), uid, gid)
		}
	}
}

// aliases returns every alias: name, targets.
func (w *world) aliases() (list [][]string) {
	for i, c := range w.cases {
		for _, a := range c.aliases {
			var row []string
			for _, s := range a {
				row = append(row, w.fill(i, s))
			}
			list = append(list, row)
		}
	}
	return append(list, []string{"sink", w.dir + "/out/sink"}, []string{"sink2", w.dir + "/out/sink2"}, []string{"postmaster", "/dev/null"})
}

var (
	sentAs   = regexp.MustCompile(`queued as (\S+)`)
	status   = regexp.MustCompile(`: (\w+): to=<([^>]*)>,.* dsn=([\d.]+), status=(\w+) \((.*)\)$`)
	passedAs = regexp.MustCompile(`forwarded as (\w+)`)
	received = regexp.MustCompile(`(?m)^Received: .*\n([ \t].*\n)*`)
	fromLine = regexp.MustCompile(`(?m)^From (\S+)  .*$`)
	ownVars  = regexp.MustCompile(`(?m)^(CLIENT_HOSTNAME|MAIL_CONFIG|PWD|OLDPWD|_|SHLVL|LANG|TZ|SASL_\w+)=.*\n`)
	steps    = regexp.MustCompile(`(?m)^(Delivered-To: |X-Original-To: |ORIGINAL_RECIPIENT=).*\n`)
	unique   = regexp.MustCompile(`/(new|cur|tmp)/[^/]+$`)
)

// send sends the message of a case and returns its queue ID, or the refusal.
func (w *world) send(i int, addr string) (id, refusal string) {
	w.t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	c, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		w.t.Fatal(err)
	}
	c.Hello("client.test")
	if _, _, err := command(c, 250, "MAIL FROM:<s$x@else.test>"); err != nil {
		w.t.Fatal(err)
	}
	if err := c.Rcpt(w.fill(i, w.cases[i].to) + "@" + localDomain); err != nil {
		return "", err.Error()
	}
	if _, _, err := command(c, 354, "DATA"); err != nil {
		w.t.Fatal(err)
	}
	text := "From: s@else.test\r\nTo: x@y.test\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@else.test>\r\nSubject: s\r\n\r\nFrom me\r\n\r\ntext\r\n.\r\n"
	fmt.Fprint(c.Text.W, text)
	c.Text.W.Flush()
	_, reply, err := c.Text.ReadResponse(250)
	if err != nil {
		return "", err.Error()
	}
	m := sentAs.FindStringSubmatch(reply)
	if m == nil {
		w.t.Fatalf("reply %q", reply)
	}
	return m[1], ""
}

func command(c *smtp.Client, want int, line string) (int, string, error) {
	id, err := c.Text.Cmd("%s", line)
	if err != nil {
		return 0, "", err
	}
	c.Text.StartResponse(id)
	defer c.Text.EndResponse(id)
	return c.Text.ReadResponse(want)
}

// outcome is what the log says of a message, and of those that it became: a
// line for each delivery, status and code, and the words where both say them.
func outcome(log func() []string, id, refusal string) (string, bool) {
	if refusal != "" {
		f := strings.Fields(strings.ReplaceAll(refusal, `"`, ""))
		what := map[byte]string{'4': "deferred ", '5': "bounced "}[f[1][0]]
		return what + f[1], true
	}
	ids, done, list, lines := []string{id}, map[string]bool{}, []string{}, log()
	for i := 0; i < len(ids); i++ {
		for _, line := range lines {
			if next := passedAs.FindStringSubmatch(line); next != nil && strings.Contains(line, " "+ids[i]+": ") && !slices.Contains(ids, next[1]) {
				ids = append(ids, next[1])
			}
		}
	}
	for _, line := range lines {
		if m := status.FindStringSubmatch(line); m != nil && slices.Contains(ids, m[1]) && !passedAs.MatchString(line) {
			done[m[1]] = done[m[1]] || m[4] == "deferred"
			if !strings.HasSuffix(m[2], "@else.test") {
				list = append(list, m[4]+" "+m[3]+words(m[5]))
			}
		}
		for _, id := range ids {
			if strings.HasSuffix(line, id+": removed") {
				done[id] = true
			}
		}
	}
	for _, id := range ids {
		if !done[id] {
			return strings.Join(list, "\n"), false
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n"), true
}

// words are the reason, where it is a command's.
func words(reason string) string {
	for _, known := range sysexitsWords {
		if strings.HasPrefix(reason, known) {
			if known == "temporary failure" {
				return " " + known // what could not be run is said differently
			}
			return " " + strings.TrimSpace(reason)
		}
	}
	return ""
}

var sysexitsWords = []string{"Command died", "Command time limit", "command line usage", "data format", "cannot open input", "user unknown", "host name unknown",
	"service unavailable", "internal software", "system resource", "critical OS", "can't create", "input/output", "temporary failure",
	"remote error", "permission denied", "local configuration", "delivered to command", "delivered to file", "mailbox full", "no"}

// effects are the files that deliveries have made or changed.
func (w *world) effects() string {
	var list []string
	filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(w.dir, path)
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".forward") || !strings.HasPrefix(rel, "out/") && !strings.HasPrefix(rel, "home/") || strings.HasPrefix(d.Name(), "dovecot") || strings.HasPrefix(d.Name(), "maildir") {
			return nil
		}
		st, _ := d.Info()
		text, _ := os.ReadFile(path)
		s := received.ReplaceAllString(strings.ReplaceAll(string(text), "\r\n", "\n"), "")
		s = ownVars.ReplaceAllString(fromLine.ReplaceAllString(s, "From $1"), "")
		list = append(list, fmt.Sprintf("--- %s %d %o\n%s", unique.ReplaceAllString(rel, "/$1/"), st.Sys().(*syscall.Stat_t).Uid, st.Mode().Perm(), sortMbox(s)))
		return nil
	})
	slices.Sort(list)
	return strings.Join(list, "")
}

// sortMbox: messages of several cases come into the sink in any order. What
// ends the file belongs to none of them.
func sortMbox(s string) string {
	if !strings.HasPrefix(s, "From ") {
		return s
	}
	text := strings.TrimRight(s, "\n")
	parts := strings.Split(text, "\n\nFrom ")
	for i := range parts {
		parts[i] = strings.TrimPrefix(parts[i], "From ")
	}
	slices.Sort(parts)
	return strings.Join(parts, "\n\nFrom ") + s[len(text):]
}

// all sends the mail of every case to one server.
func (w *world) all(addr string, log func() []string) (outcomes []string, effects string) {
	w.t.Helper()
	ids, refusals := make([]string, len(w.cases)), make([]string, len(w.cases))
	for i := range w.cases {
		ids[i], refusals[i] = w.send(i, addr)
	}
	outcomes = make([]string, len(w.cases))
	end := time.Now().Add(patience)
	for i := range w.cases {
		for ok := false; !ok; {
			if outcomes[i], ok = outcome(log, ids[i], refusals[i]); !ok && time.Now().After(end) {
				w.t.Errorf("%s: %s has no end", w.cases[i].name, ids[i])
				ok = true
			} else if !ok {
				time.Sleep(50 * time.Millisecond)
			}
		}
		outcomes[i] = strings.ReplaceAll(outcomes[i], w.dir, "%D")
	}
	return outcomes, w.effects()
}

// TestLocalAsPostfix: aliases, .forward files, commands and exit codes have the
// same outcomes as with local(8) on the same accounts.
func TestLocalAsPostfix(t *testing.T) {
	t.Parallel()
	if os.Getenv("MAILSERVER_PEERS") != "1" || os.Getuid() != 0 {
		t.Skip("adds users to the system: only as root with MAILSERVER_PEERS=1")
	}
	for _, program := range []string{"postfix", "postalias", "useradd"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	w := newWorld(t, localCases())
	w.reset()
	addr, log := w.postfix()
	theirs, theirEffects := w.all(addr, log)
	w.reset()
	h := w.mailserver()
	ours, ourEffects := w.all(h.addr(25), func() []string { return strings.Split(h.log.tail(100000), "\n") })
	for i, c := range w.cases {
		want := theirs[i]
		if c.why != "" {
			want = c.ours
		}
		if ours[i] != want {
			t.Errorf("%s:\n  ours    %s\n  theirs  %s", c.name, strings.ReplaceAll(ours[i], "\n", "\n          "), strings.ReplaceAll(want, "\n", "\n          "))
		}
	}
	compareEffects(t, ourEffects, theirEffects)
	if t.Failed() {
		t.Log(h.log.tail(150))
	}
}

func compareEffects(t *testing.T, ours, theirs string) {
	t.Helper()
	parts := func(s string) map[string]string {
		m := map[string]string{}
		for _, p := range strings.Split(s, "--- ")[1:] {
			head, text, _ := strings.Cut(p, "\n")
			m[head] += text
		}
		for head, text := range m { // messages come into one file in any order
			list := strings.Split("\n"+text, "\nFrom ")
			slices.Sort(list)
			m[head] = strings.Join(list, "\nFrom ")
		}
		return m
	}
	a, b := parts(ours), parts(theirs)
	for head, text := range b {
		if strings.Contains(head, "out/sink") || strings.Contains(head, "out/chain") || strings.Contains(head, "out/owner") || strings.Contains(head, "out/viaforward") {
			// Every step of a chain says Delivered-To here; local(8) says the first.
			a[head], text = steps.ReplaceAllString(a[head], ""), steps.ReplaceAllString(text, "")
		}
		if a[head] != text {
			t.Errorf("%s:\nours:\n%s\ntheirs:\n%s", head, a[head], text)
		}
	}
	for head := range a {
		if _, ok := b[head]; !ok {
			t.Errorf("only ours: %s\n%s", head, a[head])
		}
	}
	if len(b) < 10 {
		t.Errorf("only %d files", len(b))
	}
}

// localSettings hold for both servers.
var localSettings = [][2]string{{"recipient_delimiter", "+"}, {"local_recipient_maps", ""}, {"home_mailbox", "Maildir/"}, {"command_time_limit", "10s"},
	{"default_transport", "discard"}, {"smtpd_peername_lookup", "no"}, {"mydestination", "$myhostname"}, {"deliver_lock_delay", "1s"}}

func (w *world) mailserver() *host {
	w.t.Helper()
	h := &host{t: w.t, dir: filepath.Join(w.dir, "data"), base: freeBase(w.t), log: new(syncBuffer)}
	h.mustRun("init", "--hostname", localDomain, "--port-base", strconv.Itoa(h.base), "--own-mail", "--postmaster", "/dev/null")
	var sql strings.Builder
	sql.WriteString("DELETE FROM Alias; DELETE FROM Address;")
	for _, a := range w.aliases() {
		fmt.Fprintf(&sql, "INSERT INTO Address (addLocalpart, addDomNum) SELECT '%s', domNum FROM Domain WHERE domName = '%s';", a[0], localDomain)
		for _, to := range a[1:] {
			fmt.Fprintf(&sql, "INSERT INTO Alias (aliasNum, aliasTarget) SELECT addNum, '%s' FROM Address WHERE addLocalpart = '%s';", to, a[0])
		}
	}
	for _, s := range localSettings {
		fmt.Fprintf(&sql, "INSERT OR REPLACE INTO Setting VALUES ('%s', '%s');", s[0], s[1])
	}
	sql.WriteString("INSERT OR REPLACE INTO Setting VALUES ('reason_header', 'no');") // Postfix does not say why
	h.sql(sql.String())
	w.t.Cleanup(h.stop)
	h.start()
	return h
}

// postfix starts a Postfix of its own and returns its address and its log.
func (w *world) postfix() (addr string, log func() []string) {
	w.t.Helper()
	dir := filepath.Join(w.dir, "postfix")
	for _, sub := range []string{"", "queue", "data"} {
		os.Mkdir(filepath.Join(dir, sub), 0o755)
	}
	exec.Command("chown", "postfix", filepath.Join(dir, "data")).Run()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	var aliases, main, master strings.Builder
	for _, a := range w.aliases() {
		quoted := make([]string, len(a)-1)
		for i, to := range a[1:] {
			quoted[i] = `"` + strings.ReplaceAll(to, `"`, `\"`) + `"`
			if strings.HasPrefix(to, ":include:") {
				quoted[i] = to
			}
		}
		fmt.Fprintf(&aliases, "%s: %s\n", a[0], strings.Join(quoted, ", "))
	}
	write("aliases", aliases.String())
	fmt.Fprintf(&main, `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = %[2]s
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
alias_maps = hash:%[1]s/aliases
alias_database = hash:%[1]s/aliases
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
`, dir, localDomain)
	for _, s := range localSettings {
		fmt.Fprintf(&main, "%s = %s\n", s[0], s[1])
	}
	write("main.cf", main.String())
	addr = testport.Addr(w.t)
	for _, l := range []string{addr + " inet n - n - - smtpd", "rewrite unix - - n - - trivial-rewrite", "cleanup unix n - n - 0 cleanup", "proxymap unix - - n - - proxymap",
		"anvil unix - - n - 1 anvil", "qmgr unix n - n 300 1 qmgr", "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce",
		"error unix - - n - - error", "retry unix - - n - - error", "discard unix - - n - - discard", "local unix - n n - - local", "postlog unix-dgram n - n - 1 postlogd"} {
		fmt.Fprintln(&master, l)
	}
	write("master.cf", master.String())
	mustOutside(w.t, "", "postalias", "-c", dir, "hash:"+dir+"/aliases")
	if out, err := outside(w.t, "", "postfix", "-c", dir, "start"); err != nil {
		w.t.Skipf("Postfix does not start here: %v\n%s", err, out)
	}
	w.t.Cleanup(func() { outside(w.t, "", "postfix", "-c", dir, "stop") })
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			bufio.NewReader(c).ReadString('\n')
			c.Close()
			break
		}
		if time.Now().After(end) {
			w.t.Skip("Postfix does not answer")
		}
	}
	return addr, func() []string {
		b, _ := os.ReadFile(filepath.Join(dir, "log"))
		return strings.Split(string(b), "\n")
	}
}
