package test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPostconf: the habits of postconf(1), and where each value comes from.
func TestPostconf(t *testing.T) {
	h := sampleHost(t, "")
	h.mustRun("config", "unset", "smtpd_error_sleep_time")
	for _, tt := range []struct {
		args string
		code int
		want string // the whole of it; * is anything
	}{
		{"-e message_size_limit=20M", 0, ""},
		{"message_size_limit=21M", 0, ""},
		{"message_size_limit", 0, "message_size_limit = 21M\n"},
		{"-h message_size_limit myhostname", 0, "21M\nmx.example\n"},
		{"-d message_size_limit", 0, "message_size_limit = 10240000\n"},
		{"-dh message_size_limit", 0, "10240000\n"},
		{"-p message_size_limit", 0, "message_size_limit = 21M\n"},
		{"-n mail_name message_size_limit", 0, "message_size_limit = 21M\n"},
		{"-H message_size_limit", 0, "message_size_limit\n"},
		{"-dn", 64, "*one of -d and -n*"},
		{"no_such_setting message_size_limit", 64, "message_size_limit = 21M\n*no_such_setting*"},
		{"-n", 0, "*\nmessage_size_limit = 21M\n*"},
		{"-X message_size_limit", 0, ""},
		{"-h message_size_limit", 0, "10240000\n"},
		{"no_such_setting", 64, "*no_such_setting*"},
		{"-e no_such_setting=1", 78, "*no_such_setting*"},
		{"-e message_size_limit=much", 78, "*message_size_limit*"},
		{"-M", 64, "*not supported*"},
	} {
		out, code := h.as("postconf", "", 0, strings.Fields(tt.args)...)
		ok, _ := filepath.Match(tt.want, strings.ReplaceAll(out, "/", "|"))
		if code != tt.code || !ok {
			t.Errorf("postconf %s: %d %q, want %d %q", tt.args, code, out, tt.code, tt.want)
		}
	}
	// A value that is bad already is no reason to take it once more.
	h.sql("INSERT INTO Setting VALUES ('message_size_limit', 'much')")
	if out, code := h.as("postconf", "", 0, "-e", "message_size_limit=much"); code != 78 {
		t.Errorf("%d %s", code, out)
	}
	if out, code := h.as("postconf", "", 0, "-e", "mail_name=Mine"); code != 0 {
		t.Errorf("another setting: %d %s", code, out)
	}
	h.mustRun("config", "set", "message_size_limit=1M")
	for line, want := range map[string]string{
		"config get message_size_limit --origin":     "message_size_limit = 1M  # row\n",
		"config get smtpd_error_sleep_time --origin": "  # default\n",
		"config list --origin":                       "mail_name = Mine  # row\n",
		"config list --json":                         `{"name":"message_size_limit","value":"1M","default":"10240000","origin":"row"}`,
	} {
		if out := h.mustRun(strings.Fields(line)...); !strings.Contains(out, want) {
			t.Errorf("%s: want %q in %s", line, want, out[:min(len(out), 300)])
		}
	}

	// What the command line of the server says goes before rows.
	h.mustRun("config", "set", "log_format=json")
	h.command = exec.Command(program, "serve", "--data", h.dir, "--log-format", "logfmt")
	h.start()
	waitFor(t, "its command line is known", func() bool {
		return h.mustRun("config", "get", "log_format", "--origin") == "log_format = logfmt  # command line\n"
	})
	for line, want := range map[string]string{
		"config list -n --origin":           "\nlog_format = logfmt  # command line\nmail_name = Mine  # row\n",
		"config list --json":                `{"name":"log_format","value":"logfmt","default":"syslog","origin":"command line"}`,
		"config get -d log_format --origin": "log_format = syslog  # default\n",
	} {
		if out := h.mustRun(strings.Fields(line)...); !strings.Contains("\n"+out, want) {
			t.Errorf("%s: want %q in %s", line, want, out)
		}
	}
}
