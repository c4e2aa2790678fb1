package test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"mailserver/internal/totp"
)

// TestSecondFactor: a secret is shown once, asked for when a code has been
// right, and a code is good once.
func TestSecondFactor(t *testing.T) {
	t.Parallel()
	h := sampleHost(t, "")
	h.start()
	out := h.mustRun("totp", "set", "joe@vmail.example")
	secret, uri, _ := strings.Cut(out, "\n")
	if !strings.HasPrefix(uri, "otpauth://totp/mx.example:joe@vmail.example?issuer=mx.example&secret="+secret) {
		t.Error(out)
	}
	try := func(user, code, want string) {
		t.Helper()
		out, err := h.run(code, "totp", "verify", user)
		if (err == nil) != (want == "right") || !strings.Contains(out, "code is "+want) {
			t.Errorf("%s %s: %v, %s", user, code, err, out)
		}
	}
	list := func(want string) {
		t.Helper()
		if out := h.mustRun("totp", "list"); strings.Join(strings.Fields(out), " ") != want || strings.Contains(out, secret) {
			t.Errorf("%s", out)
		}
	}
	now := time.Now()
	code, err := totp.Code(secret, now)
	if err != nil {
		t.Fatal(err)
	}
	old, _ := totp.Code(secret, now.Add(-time.Hour))
	list("USER ACTIVE joe@vmail.example no")
	try("joe@vmail.example", old, "wrong")
	try("ann@vmail.example", code, "wrong")
	if code, err = totp.Code(secret, time.Now()); err != nil { // a busy machine has used up the half minute of the other
		t.Fatal(err)
	}
	try("JOE@vmail.example", code, "right")
	try("joe@vmail.example", code, "wrong")
	list("USER ACTIVE joe@vmail.example yes")
	if out, err := h.run("not base32!", "totp", "set", "joe@vmail.example", "--secret-stdin"); err == nil {
		t.Error(out)
	}
	h.mustRun("totp", "rm", "joe@vmail.example")
	list("USER ACTIVE")
	if out, err := h.run("", "totp", "rm", "joe@vmail.example"); err == nil {
		t.Error(out)
	}
	if log := strings.Join(h.log.all(), "\n"); strings.Contains(log, secret) || regexp.MustCompile(`\b`+code+`\b`).MatchString(log) {
		t.Error("the log has the secret, or a code")
	}
}
