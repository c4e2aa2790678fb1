package delivery

import (
	"fmt"
	"log/slog"
	"strings"

	"mailserver/internal/cleanup"
	"mailserver/internal/contentcheck"
	"mailserver/internal/maillog"
	"mailserver/schema"
)

type checkTable = contentcheck.Table

func compileChecks(rows []schema.ContentCheck) (*checkTable, []string) {
	list := make([]contentcheck.Row, len(rows))
	for i, r := range rows {
		list[i] = contentcheck.Row{Pattern: r.Pattern, Action: r.Action}
	}
	return contentcheck.Compile(list)
}

// act does what a row asks about a field or line. text is what stands in its
// place, ” that it stays; keep is false if it goes.
func (k *cleaner) act(kind cleanup.Kind, line, action string) (text string, keep bool) {
	a, err := contentcheck.ParseAction(action)
	if err != nil { // of what a group has brought in
		k.note("warning", kind, line, err.Error())
		return "", true
	}
	switch a.Verb {
	case "REJECT":
		k.reject(a.Text, kindName(kind), line)
	case "WARN":
		what := a.Text
		if what == "" {
			what = "content matched" // of a message that is not looked at further
		}
		k.note("warning", kind, line, what)
	case "INFO":
		k.note("info", kind, line, a.Text)
	case "IGNORE":
		return "", false
	case "STRIP":
		k.note("strip", kind, line, a.Text)
		return "", false
	case "REPLACE":
		k.note("replace", kind, line, a.Text)
		if kind != cleanup.Body && !strings.Contains(a.Text, ":") {
			k.note("warning", kind, line, "REPLACE text is no header field")
			return "", true
		}
		return a.Text, true
	case "PREPEND":
		k.note("prepend", kind, line, a.Text)
		return a.Text + "\n" + line, true
	case "HOLD":
		if !k.eff.Hold {
			k.note("hold", kind, line, a.Text)
		}
		k.eff.Hold = true
	case "DISCARD":
		k.note("discard", kind, line, a.Text)
		k.eff.Discard = true
	case "FILTER":
		k.note("filter", kind, line, a.Text)
		k.eff.Filter = a.Text
	case "REDIRECT":
		k.note("redirect", kind, line, a.Text)
		k.eff.Redirect = a.Text
	case "BCC":
		k.note("bcc", kind, line, a.Text)
		k.eff.Bcc = append(k.eff.Bcc, a.Text)
	}
	return "", true
}

// reject refuses the message. A status code may stand before the text.
func (k *cleaner) reject(text, class, line string) {
	o := Outcome{Code: 550, Enhanced: "5.7.1", Text: "message content rejected"}
	if code, rest, _ := strings.Cut(text, " "); isStatus(code) {
		o.Enhanced, text = code, strings.TrimSpace(rest)
	}
	if text != "" {
		o.Text = text
	}
	if o.Enhanced[0] == '4' {
		o.Code = 451
	}
	k.refused = &o
	k.event("reject", class, line, o.Enhanced+" "+o.Text)
}

// isStatus reports whether a word is a status code that refuses, RFC 3463 §2.
func isStatus(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || parts[0] != "4" && parts[0] != "5" {
		return false
	}
	for _, p := range parts[1:] {
		if p == "" || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	return true
}

func kindName(kind cleanup.Kind) string {
	if kind == cleanup.Body {
		return "body"
	}
	return "header"
}

func (k *cleaner) note(what string, kind cleanup.Kind, line, text string) {
	k.event(what, kindName(kind), line, text)
}

// event is the line of cleanup(8) about a check.
func (k *cleaner) event(what, class, line, text string) {
	e := k.m.env
	to := ""
	if len(e.To) > 0 {
		to = " to=<" + e.To[len(e.To)-1].Address.String() + ">"
	}
	origin := "local"
	if e.Client.Addr.IsValid() {
		origin = fmt.Sprintf("%s[%s]", e.Client.Name, e.Client.Addr.Unmap())
	}
	log := fmt.Sprintf("%s: %s: %s %s from %s; from=<%s>%s", k.m.ID(), what, class, clipped(line), origin, e.From, to)
	if e.Proto != "" {
		log += " proto=" + e.Proto
	}
	if e.Helo != "" {
		log += " helo=<" + e.Helo + ">"
	}
	if text != "" {
		log += ": " + text
	}
	maillog.Event(k.m.s.d.Log, slog.LevelInfo, maillog.Cleanup, log, "content "+what, slog.String(maillog.QueueID, k.m.ID()))
}

// clipped bounds what a stranger's text writes into the log.
func clipped(s string) string {
	if len(s) > 200 {
		s = s[:200]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}
