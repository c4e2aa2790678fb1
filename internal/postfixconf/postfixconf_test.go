package postfixconf

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const sample = `# a comment
myhostname = mx.example.org
mydomain=example.org
  # a comment does not end a line

mydestination = $myhostname,
	localhost.$mydomain

  localhost
query = sqlite:$config_directory/query
virtual_alias_maps = $query/alias.query, ${proxy_it?proxy:}hash:/etc/postfix/virtual
relayhost = ${relay_to?{[$relay_to]:587}:{[none.example]}}
smtp_tls_security_level = ${{$compatibility_level} >=level {3.6} ? {may} : {}}
smtpd_banner = $$myhostname $(myhostname) ESMTP ${mail_name:nothing}
compatibility_level = 3.10
myorigin = /etc/mailname
myorigin = $mydomain
`

func TestMainAndExpansion(t *testing.T) {
	m, faults, err := ReadMain(strings.NewReader(sample + "no equals sign\n"))
	if err != nil || len(faults) != 1 || faults[0].Line != 18 {
		t.Fatalf("%v %v", faults, err)
	}
	m.Defaults["config_directory"] = "/etc/postfix"
	for name, want := range map[string]string{
		"mydestination":           "mx.example.org,\tlocalhost.example.org  localhost",
		"virtual_alias_maps":      "sqlite:/etc/postfix/query/alias.query, hash:/etc/postfix/virtual",
		"relayhost":               "[none.example]",
		"smtp_tls_security_level": "may",
		"smtpd_banner":            "$myhostname mx.example.org ESMTP ",
		"myorigin":                "example.org",
		"alias_maps":              "hash:/etc/aliases, nis:mail.aliases",
		"nothing_of_the_kind":     "",
	} {
		if got, err := m.Value(name); got != want || err != nil {
			t.Errorf("%s = %q (%v), want %q", name, got, err, want)
		}
	}
	if p := m.Params(); !m.Overridden(p[len(p)-2]) || m.Overridden(p[len(p)-1]) || p[2].Line != 6 {
		t.Errorf("lines: %+v", p)
	}
	for text, want := range map[string]string{
		"${x?yes}${x:no}": "no", "${{a} == {a} ? {same} : {not}}": "same", "${{2} < {10}?{less}}": "less", "${{b} > {a}:{no}}": "",
		"a$": "a$", "$ x": "$ x", "${ mydomain }": "example.org", "${mydomain?{${myhostname}}:{}}": "mx.example.org",
	} {
		if got, err := m.Expand(text); got != want || err != nil {
			t.Errorf("%s: %q (%v), want %q", text, got, err, want)
		}
	}
	for _, bad := range []string{"${x", "${x!y}", "${{a} ~ {b}?{c}}", "${}", "${{a}}"} {
		if got, err := m.Expand(bad); err == nil {
			t.Errorf("%s: %q, want an error", bad, got)
		}
	}
	loop, _, _ := ReadMain(strings.NewReader("a = $b $b\nb = $a $a\n"))
	if _, err := loop.Value("a"); err == nil {
		t.Error("a loop has a value")
	}
	var wide strings.Builder
	for i := range 38 {
		fmt.Fprintf(&wide, "a%d = $a%d$a%d\n", i, i+1, i+1)
	}
	many, _, _ := ReadMain(strings.NewReader(wide.String()))
	if _, err := many.Value("a0"); err == nil {
		t.Error("what refers to too much has a value")
	}
}

func TestMaster(t *testing.T) {
	list, faults, err := ReadMaster(strings.NewReader(`
smtp      inet  n       -       y       -       -       smtpd
#  comment
submission inet n - y - - smtpd -v
  -o syslog_name=postfix/submission
  -o { smtpd_client_restrictions = permit_sasl_authenticated, reject }
  -osmtpd_tls_auth_only=yes
127.0.0.1:10025 inet n - n - 5 smtpd -o content_filter=
filter unix - n n - 10 pipe
  flags=Rq user=filter null_sender= argv=/usr/bin/filter -f ${sender} -- ${recipient} -o x=y
broken unix -
`))
	if err != nil || len(list) != 4 || len(faults) != 1 {
		t.Fatalf("%d services, %v, %v", len(list), faults, err)
	}
	s := list[1]
	if v, _ := s.Option("smtpd_client_restrictions"); v != "permit_sasl_authenticated, reject" || s.Over()["smtpd_tls_auth_only"] != "yes" || s.Args[0] != "-v" || s.Line != 4 {
		t.Errorf("%+v", s)
	}
	if v, ok := list[2].Option("content_filter"); v != "" || !ok || list[2].MaxProc != "5" {
		t.Errorf("%+v", list[2])
	}
	if list[3].Args[3] != "argv=/usr/bin/filter" || len(list[3].Options) != 0 {
		t.Errorf("%+v", list[3])
	}
}

func TestTables(t *testing.T) {
	for _, tt := range []struct {
		kind  Kind
		text  string
		want  string
		fault int
	}{
		{Hash, "a@b  x, y\n# no\n  z\nonly\nq\tr\n", "a@b=x, y  z q=r", 1},
		{Aliases, "root: joe\nlist: \"|/bin/x a, b\",\n  /file\n\"a b\": c\nbad\n", `root=joe list="|/bin/x a, b",  /file a b=c`, 1},
		{CIDR, "192.0.2.0/24 REJECT x\nif 10.0.0.0/8\n!10.1.0.0/16 OK\nendif\n", "192.0.2.0/24=REJECT x if 10.0.0.0/8= !10.1.0.0/16=OK endif=", 0},
		{Regexp, "/a b\\/c/i REJECT d e\n!/x/ OK\nif !/y/\n~z~ DUNNO\nendif\n/open\n", `/a b\/c/i=REJECT d e !/x/=OK if !/y/= ~z~=DUNNO endif=`, 1},
		{List, "a.example, b.example\n c.example\n", "a.example= b.example= c.example=", 0},
	} {
		var got []string
		faults := 0
		err := ReadTable(strings.NewReader(tt.text), tt.kind, func(r Row) error {
			got = append(got, r.Key+"="+r.Value)
			return nil
		}, func(int, string) { faults++ })
		if strings.Join(got, " ") != tt.want || faults != tt.fault || err != nil {
			t.Errorf("%v: %q (%d faults, %v), want %q", tt.kind, got, faults, err, tt.want)
		}
	}
}

func TestRefs(t *testing.T) {
	got := ""
	for _, r := range Refs("proxy:hash:/a, pcre:{{/x y/ OK}} { cidr:/n, timeout=1 } /plain example.org inline:{a=b, {c=d e}} [::1]:25") {
		got += fmt.Sprintf("%s|%s ", r.Type, r.Name)
	}
	if got != "hash|/a pcre|{{/x y/ OK}} cidr|/n |/plain |example.org inline|{a=b, {c=d e}} |[::1]:25 " {
		t.Error(got)
	}
	rows, err := Inline("{a=b, {c = d e}}")
	if err != nil || len(rows) != 2 || rows[1].Value != "d e" {
		t.Errorf("%v %v", rows, err)
	}
}

// TestPostconfPeer compares what main.cf and master.cf say with what postconf(1)
// makes of them.
func TestPostconfPeer(t *testing.T) {
	if _, err := exec.LookPath("postconf"); err != nil {
		if os.Getenv("MAILSERVER_PEERS") == "1" {
			t.Fatal("postconf is not installed")
		}
		t.Skip("postconf is not installed")
	}
	dir := t.TempDir()
	master := "smtp inet n - y - - smtpd\nsubmission inet n - y - - smtpd\n  -o syslog_name=postfix/$service_name -o { smtpd_client_restrictions = a, b }\nold unix - n n - - pipe\n  flags=F user=x argv=/bin/y ${sender}\n"
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("main.cf", sample)
	write("master.cf", master)
	m, _, err := ReadMain(strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	m.Defaults["config_directory"] = dir
	out, err := exec.Command("postconf", "-c", dir, "-x", "-n").Output()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for line := range strings.Lines(string(out)) {
		name, want, _ := strings.Cut(strings.TrimSpace(line), "=")
		name = strings.TrimSpace(name)
		got, err := m.Value(name)
		if _, set := m.Get(name); !set {
			continue
		}
		compared++
		if spaces(got) != spaces(want) || err != nil {
			t.Errorf("%s: %q (%v), postconf has %q", name, got, err, want)
		}
	}
	if compared < 8 {
		t.Errorf("only %d parameters compared:\n%s", compared, out)
	}
	services, _, err := ReadMaster(strings.NewReader(master))
	if err != nil {
		t.Fatal(err)
	}
	out, err = exec.Command("postconf", "-c", dir, "-P").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mine []string
	for _, s := range services {
		for _, o := range s.Options {
			mine = append(mine, fmt.Sprintf("%s/%s/%s = %s\n", s.Name, s.Type, o.Name, o.Value))
		}
	}
	slices.Sort(mine)
	if got := strings.Join(mine, ""); got != string(out) {
		t.Errorf("options:\n%s\npostconf -P:\n%s", got, out)
	}
}

func spaces(s string) string { return strings.Join(strings.Fields(s), " ") }

func FuzzRead(f *testing.F) {
	f.Add(sample)
	f.Add("a = ${b?{c}:{d}}\nb = $a ${{1} < {2} ? {x}}\n c\nsmtp inet n - y - - smtpd -o { a = b }\n")
	f.Add("/a\\/b/i REJECT\nif !/c/\nendif\n10.0.0.0/8 x\n\"q r\": s\n")
	f.Fuzz(func(t *testing.T, text string) {
		if m, _, err := ReadMain(strings.NewReader(text)); err == nil {
			for _, p := range m.Params() {
				m.Value(p.Name)
				References(p.Value)
				Plain(p.Value)
				Refs(p.Value)
			}
		}
		if list, _, err := ReadMaster(strings.NewReader(text)); err == nil {
			for _, s := range list {
				s.Over()
			}
		}
		for kind := Hash; kind <= List; kind++ {
			ReadTable(strings.NewReader(text), kind, func(r Row) error {
				if r.Key == "" || r.Line < 1 {
					t.Errorf("kind %d: row %+v of %q", kind, r, text)
				}
				return nil
			}, func(int, string) {})
		}
		Inline(text)
	})
}
