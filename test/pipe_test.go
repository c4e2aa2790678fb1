package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// pipeCase is a transport of pipe(8), and mail through it. %T is the recording
// program, %N the name of the case; it ends with the code that follows.
type pipeCase struct {
	name  string
	attrs string // but user= and argv=, as master.cf has them
	argv  string
	from  string // '' is Sender.X+y@Back.Example
	to    []string
	body  string
	fails bool   // the message is bounced
	why   string // our words differ on purpose
}

func pipeCases() []pipeCase {
	all := `%T %N 0 {r=${recipient}} {o=$original_recipient} {s=${sender}} {e=$(extension)} {u=${user}} {m=${mailbox}} {d=${domain}} {n=${nexthop}} ` +
		`{a=${client_address}} {h=${client_helo}} {p=${client_protocol}} {l=${sasl_username}} {z=${queue_id}${client_hostname}${sasl_method}${sasl_sender}${client_port}} $$5`
	dirty := "From here\r\n.dot\r\n>From there\r\n  blank follows\r\n\r\nend \xfc\r\n"
	list := []pipeCase{
		{name: "all", argv: all},
		{name: "several", argv: all, to: []string{"One+Ext@N", "Two@N", "three+x+y@N"}},
		{name: "flagsR", attrs: "flags=R", argv: "%T %N 0"},
		{name: "flagsDRO", attrs: "flags=DRO", argv: all, to: []string{"One+Ext@N", "Two@N"}},
		{name: "flagsF", attrs: "flags=F", argv: "%T %N 0"},
		{name: "flagshu", attrs: "flags=hu", argv: all, to: []string{"One+Ext@N"}},
		{name: "flagsq", attrs: "flags=q", argv: all, to: []string{`"two words"@N`}},
		{name: "noq", argv: all, to: []string{`"two words"@N`}},
		{name: "flagsB", attrs: "flags=BFR.>", argv: "%T %N 0", body: dirty},
		{name: "plain", argv: "%T %N 0", body: dirty},
		{name: "eol", attrs: `eol=\r\n`, argv: "%T %N 0", body: dirty},
		{name: "null", argv: all, from: "<>"},
		{name: "nullsender", attrs: "null_sender=", argv: all, from: "<>"},
		{name: "directory", attrs: "directory=/tmp", argv: "%T %N 0"},
		{name: "size", attrs: "size=100", argv: "%T %N 0", fails: true},
		{name: "X", attrs: "flags=X", argv: "%T %N 0"},
		{name: "says", argv: "%T %N 0 say:done:well"},
		{name: "code", argv: "%T %N 1 say:5.7.9_not_today", fails: true},
		{name: "code4", argv: "%T %N 1 say:4.2.2_not_now"},
		{name: "words", argv: "%T %N 69 say:what_is_wrong", fails: true},
		{name: "signal", argv: "%T %N kill"},
		{name: "missing", argv: "/nonexistent/program x", why: "the same code, without the words of the daemon"},
		{name: "directory2", attrs: "directory=/nonexistent", argv: "%T %N 0"},
		{name: "time", argv: "%T %N sleep", fails: true},
		{name: "notread", argv: "/bin/true"},
		{name: "path", argv: "false", fails: true},
	}
	for _, code := range []int{1, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 99} {
		list = append(list, pipeCase{name: fmt.Sprintf("exit%d", code), argv: fmt.Sprintf("%%T %%N %d", code), fails: code != 71 && code != 75})
	}
	return list
}

const pipeTool = `#!/bin/sh
name=$1; code=$2; shift 2
{ case $name in directory*) pwd;; esac; env | grep -v '^PWD=\|^_=\|^OLDPWD=\|^SHLVL=\|^PATH=\|^LANG=\|^TZ=\|^MAIL_CONFIG=' | sort; id -un; umask
for a in "$@"; do echo "arg <$a>"; done; echo "stdin:"; cat; } > OUT/$name.$$
case "$1" in say:*) echo "${1#say:}" | tr _ ' ';; esac
case $code in kill) kill -9 $$;; sleep) sleep 600;; *) exit $code;; esac
`

// pipeRow writes a case as a row of Pipe.
func pipeRow(c pipeCase, argv string) string {
	cols, vals := "ppName, ppUser, ppArgv, ppTimeLimit", fmt.Sprintf("'%s', 'nobody', '%s', '%s'", c.name, strings.ReplaceAll(argv, "'", "''"), c.limit())
	for _, a := range strings.Fields(c.attrs) {
		name, value, _ := strings.Cut(a, "=")
		cols += ", " + map[string]string{"flags": "ppFlags", "eol": "ppEol", "null_sender": "ppNullSender", "directory": "ppDirectory", "size": "ppSize"}[name]
		vals += ", '" + value + "'"
	}
	return fmt.Sprintf("INSERT INTO Pipe (%s) VALUES (%s);", cols, vals)
}

// limit is short only for who is to miss it, and gives that time to write what
// it was given.
func (c *pipeCase) limit() string {
	if c.name == "time" {
		return "15s"
	}
	return "120s"
}

func (c *pipeCase) sender() string {
	if c.from == "" {
		return "<Sender.X+y@Back.Example>"
	}
	return c.from
}

func (c *pipeCase) recipients() []string {
	to := c.to
	if to == nil {
		to = []string{"User+Ext@N"}
	}
	list := make([]string, len(to))
	for i := range to {
		list[i] = strings.TrimSuffix(to[i], "@N") + "@" + c.name + ".Example"
	}
	return list
}

func givePipes(t *testing.T, addr string, cases []pipeCase) {
	t.Helper()
	for _, c := range cases {
		s, err := dialSender(addr)
		if err != nil {
			t.Fatal(err)
		}
		lines := []string{"MAIL FROM:" + c.sender()}
		for _, to := range c.recipients() {
			lines = append(lines, "RCPT TO:<"+to+">")
		}
		for _, line := range lines {
			if err := s.cmd(250, "%s", line); err != nil {
				t.Fatalf("%s: %s: %v", c.name, line, err)
			}
		}
		body := c.body
		if body == "" {
			body = "body\r\n"
		}
		body = strings.ReplaceAll("\r\n"+body, "\r\n.", "\r\n..")[2:]
		if err := s.cmd(354, "DATA"); err != nil {
			t.Fatal(err)
		}
		if err := s.cmd(250, "Message-ID: <%s@test>\r\nFrom: <x@y.example>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\n%s.", c.name, body); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		s.c.Close()
	}
}

var (
	outcomeLine = regexp.MustCompile(`to=<([^>]*)>, (?:orig_to=<[^>]*>, )?relay=([^,]*),.* dsn=([0-9.]+), status=(\w+) \((.*)\)$`)
	pipeID      = regexp.MustCompile(`(?m)(arg <z=)[0-9A-Za-z]+|^(From \S+  ).*$|for <.*>; (.*)$|^Received: .*$|^\t.*$`)
)

// pipeOutcomes reads who was delivered, and how, from a log.
func pipeOutcomes(log, tool string) map[string]string {
	found := make(map[string]string)
	for _, line := range strings.Split(log, "\n") {
		if m := outcomeLine.FindStringSubmatch(line); m != nil && !strings.Contains(line, "back.example") {
			found[strings.ToLower(m[1])] = strings.ReplaceAll(fmt.Sprintf("%s %s %s (%s)", m[2], m[3], m[4], strings.TrimSuffix(m[5], " ")), tool, "TOOL")
		}
	}
	return found
}

// runs reads what the programs were given, by case.
func runs(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	byCase := make(map[string][]string)
	for _, file := range files {
		name, _, _ := strings.Cut(filepath.Base(file), ".")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		byCase[name] = append(byCase[name], pipeID.ReplaceAllString(string(text), "$1$2"))
	}
	found := make(map[string]string)
	for name, list := range byCase {
		slices.Sort(list)
		found[name] = strings.Join(list, "\n---\n")
	}
	return found
}

// TestPipeAsPostfix: the same programs get the same arguments, the same text,
// the same environment, and the same comes of each way in which they end.
func TestPipeAsPostfix(t *testing.T) {
	t.Parallel()
	need(t, "postfix")
	if !ownNetwork(t) {
		return
	}
	back, _, zone := dsnRemotes(t)
	startNetwork(t, zone)
	cases := pipeCases()
	dir, err := os.MkdirTemp("", "pipe8-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	for _, name := range []string{"postfix", "ours"} {
		os.Mkdir(filepath.Join(dir, name), 0o777)
		os.Chmod(filepath.Join(dir, name), 0o777)
		if err := os.WriteFile(filepath.Join(dir, "tool-"+name), []byte(strings.ReplaceAll(pipeTool, "OUT", filepath.Join(dir, name))), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	argv := func(c pipeCase, server string) string {
		return strings.NewReplacer("%T", filepath.Join(dir, "tool-"+server), "%N", c.name).Replace(c.argv)
	}
	main, master := "recipient_delimiter = +\ntransport_maps = inline:{", ""
	want := 0
	for _, c := range cases {
		main += fmt.Sprintf("{%s.example=%s:hop.%s},", c.name, c.name, strings.ToUpper(c.name))
		master += fmt.Sprintf("%s unix - n n - - pipe\n  %s user=nobody argv=%s\n", c.name, c.attrs, argv(c, "postfix"))
		if c.fails {
			want++
		}
	}
	main += "}\n"
	for _, c := range cases {
		main += c.name + "_time_limit = " + c.limit() + "\n"
		if strings.ContainsAny(c.attrs, "DO") {
			main += c.name + "_destination_recipient_limit = 1\n"
		}
	}
	conf := netPostfix(t, main, master)
	givePipes(t, "127.0.0.1:25", cases)
	rcpts := 0
	for _, c := range cases {
		rcpts += len(c.recipients())
	}
	log := func() string {
		text, _ := os.ReadFile(filepath.Join(conf, "log"))
		return string(text)
	}
	postfixTool := filepath.Join(dir, "tool-postfix")
	for end := time.Now().Add(patience); len(pipeOutcomes(log(), postfixTool)) < rcpts && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
	}
	theirs := pipeOutcomes(log(), postfixTool)
	outside(t, "", "postfix", "-c", conf, "stop")
	defer func() {
		if t.Failed() {
			for line := range strings.Lines(log()) {
				if strings.Contains(line, "fatal") || strings.Contains(line, "warning") {
					t.Log(line)
				}
			}
		}
	}()
	_ = back
	h := sampleHost(t, "")
	h.mustRun("config", "set", "smtp_tls_security_level=none", "recipient_delimiter=+")
	for _, c := range cases {
		h.sql(pipeRow(c, argv(c, "ours")))
		h.mustRun("domain", "add", c.name+".example", "--class", "external", "--transport", c.name+":hop."+strings.ToUpper(c.name))
	}
	h.start()
	givePipes(t, h.addr(25), cases)
	tool := filepath.Join(dir, "tool-ours")
	for end := time.Now().Add(patience); len(pipeOutcomes(h.log.tail(5000), tool)) < rcpts && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
	}
	ours := pipeOutcomes(h.log.tail(5000), tool)
	theirRuns, ourRuns := runs(t, filepath.Join(dir, "postfix")), runs(t, filepath.Join(dir, "ours"))
	for _, c := range cases {
		for _, to := range c.recipients() {
			to = strings.ToLower(to)
			if c.why == "" && theirs[to] != ours[to] {
				t.Errorf("%s: %s\n  Postfix %s\n  ours    %s", c.name, to, theirs[to], ours[to])
			}
		}
		if theirRuns[c.name] != ourRuns[c.name] {
			t.Errorf("%s: the program was given\n%s\nby Postfix,\n%s\nby us", c.name, theirRuns[c.name], ourRuns[c.name])
		}
	}
}
