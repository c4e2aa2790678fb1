package remote

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// mechanisms are those that we know, the best first.
var mechanisms = []struct {
	name string
	// plain: the password itself is sent.
	plain bool
	// steps are the answers to 334; initial is the first, with the command.
	initial bool
	answer  func(user, passwd, challenge string, step int) string
}{
	{"CRAM-MD5", false, false, func(user, passwd, challenge string, _ int) string {
		h := hmac.New(md5.New, []byte(passwd)) // RFC 2195 §2
		h.Write([]byte(challenge))
		return user + " " + hex.EncodeToString(h.Sum(nil))
	}},
	{"PLAIN", true, true, func(user, passwd, _ string, _ int) string { return "\x00" + user + "\x00" + passwd }},
	{"LOGIN", true, false, func(user, passwd, _ string, step int) string {
		return map[int]string{0: user, 1: passwd}[step]
	}},
}

// loginSteps bounds what a server may ask.
const loginSteps = 2

// login logs in with the credentials of the next hop. A failure is temporary:
// the mail must not go back because a password has changed.
// postconf(5) smtp_sasl_auth_soft_bounce
func (s *session) login() bool {
	offered := strings.Fields(strings.ToUpper(s.exts["AUTH"]))
	opts := s.a.cfg.SASLOptions
	if s.tls {
		opts = s.a.cfg.SASLTLSOptions
	}
	plaintext := !slices.Contains(opts, "noplaintext") || s.a.hop.Unix
	offered = slices.DeleteFunc(offered, func(name string) bool { return !allowedMechanism(s.a.cfg.SASLFilter, name) })
	for _, m := range mechanisms {
		if slices.Contains(offered, m.name) && (plaintext || !m.plain) {
			return s.exchange(m.name, m.initial, m.answer)
		}
	}
	return s.site(Result{Status: Deferred, Enhanced: "4.7.0",
		Text: fmt.Sprintf("SASL authentication failed: server %s offered no compatible authentication mechanisms for this type of connection security", s.h)})
}

// exchange is one attempt to log in.
func (s *session) exchange(name string, initial bool, answer func(user, passwd, challenge string, step int) string) bool {
	const stage = "performing SASL authentication"
	enc, user, passwd := base64.StdEncoding.EncodeToString, s.a.hop.User, s.a.hop.Passwd
	line, step := "AUTH "+name, 0
	if initial {
		line, step = line+" "+enc([]byte(answer(user, passwd, "", 0))), loginSteps
	}
	rep, err := s.ask(line, s.a.cfg.HeloTimeout, stage)
	for ; err == nil && rep.code == 334 && step < loginSteps; step++ {
		challenge, derr := base64.StdEncoding.DecodeString(strings.TrimSpace(rep.lines[0][min(4, len(rep.lines[0])):]))
		if derr != nil && name == "CRAM-MD5" {
			break
		}
		rep, err = s.ask(enc([]byte(answer(user, passwd, string(challenge), step))), s.a.cfg.HeloTimeout, stage)
	}
	if err != nil {
		return s.lost(err)
	}
	if rep.code != 235 {
		return s.site(Result{Status: Deferred, Enhanced: "4" + rep.enhanced()[1:], Reply: rep.String(),
			Text: fmt.Sprintf("SASL authentication failed; server %s said: %s", s.h, rep)})
	}
	return true
}

// allowedMechanism obeys postconf(5) smtp_sasl_mechanism_filter: the first
// pattern that is the name decides, !name against it; static:all and static:rest
// are every name. Empty: all.
func allowedMechanism(filter []string, name string) bool {
	for _, p := range filter {
		word, not := strings.CutPrefix(p, "!")
		if strings.HasPrefix(word, "static:") || strings.EqualFold(word, name) {
			return !not
		}
	}
	return len(filter) == 0
}
