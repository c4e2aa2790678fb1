package policy

import (
	"strconv"
	"strings"
)

// splitReply reads [4NN|5NN] [x.y.z] text; code is 0 and enhanced ” where
// they are not there.
func splitReply(text string) (code int, enhanced, words string) {
	text = strings.TrimSpace(text)
	head, rest, _ := strings.Cut(text, " ")
	if len(head) == 3 && isDigits(head) && (head[0] == '4' || head[0] == '5') {
		code, _ = strconv.Atoi(head)
		text = strings.TrimSpace(rest)
		head, rest, _ = strings.Cut(text, " ")
	}
	if isEnhanced(head) {
		return code, head, strings.TrimSpace(rest)
	}
	return code, "", text
}

// isEnhanced reports whether s is a status code of RFC 3463 §2 that refuses.
func isEnhanced(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || parts[0] != "2" && parts[0] != "4" && parts[0] != "5" {
		return false
	}
	for _, p := range parts[1:] {
		if !isDigits(p) || len(p) > 3 || len(p) > 1 && p[0] == '0' {
			return false
		}
	}
	return true
}

// action is what an access(5) row says, read.
type action struct {
	verb string // in capitals; "" a list of restrictions
	code int    // of 4NN, 5NN
	text string // behind the verb; the list
}

// verb does what an action asks, about a subject of a class.
type verb func(x *query, it *item, a action, subject, class string) outcome

// verbs are the actions with a meaning of their own.
var verbs = map[string]verb{
	"DUNNO": func(*query, *item, action, string, string) outcome { return dunno },
	"OK":    func(*query, *item, action, string, string) outcome { return permit },
	"RELAY": func(*query, *item, action, string, string) outcome { return permit },
	"REJECT": func(x *query, _ *item, a action, subject, class string) outcome {
		return x.reject(x.rowVerdict(x.cfg.AccessRejectCode, AccessDenied, a.text, subject, class))
	},
	"DEFER": func(x *query, _ *item, a action, subject, class string) outcome {
		return x.reject(x.rowVerdict(x.cfg.AccessDeferCode, AccessDenied, a.text, subject, class))
	},
	"DEFER_IF_PERMIT": func(x *query, _ *item, a action, subject, class string) outcome {
		return x.deferIfPermit(x.rowVerdict(x.cfg.AccessDeferCode, ServiceRefused, a.text, subject, class))
	},
	"DEFER_IF_REJECT": func(x *query, _ *item, a action, subject, class string) outcome {
		return x.deferIfReject(x.rowVerdict(x.cfg.AccessDeferCode, ServiceRefused, a.text, subject, class))
	},
	"WARN":     noteAction,
	"INFO":     noteAction,
	"DISCARD":  effectAction,
	"HOLD":     effectAction,
	"FILTER":   effectAction,
	"REDIRECT": effectAction,
	"BCC":      effectAction,
	"PREPEND":  effectAction,
}

// parseAction reads the action of a row.
func parseAction(text string) action {
	text = strings.TrimSpace(text)
	head, rest := text, ""
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		head, rest = text[:i], strings.TrimSpace(text[i:])
	}
	verb := strings.ToUpper(head)
	if _, ok := verbs[verb]; ok {
		return action{verb: verb, text: rest}
	}
	if isDigits(text) {
		return action{verb: "OK"} // a time stamp that some other program has left
	}
	if len(head) == 3 && isDigits(head) && (head[0] == '4' || head[0] == '5') && rest != "" {
		code, _ := strconv.Atoi(head)
		return action{verb: "REPLY", code: code, text: rest}
	}
	return action{text: text}
}

// act does what a row says about subject.
func (x *query) act(it *item, key, text, subject, class string) outcome {
	a := parseAction(text)
	switch {
	case a.verb == "REPLY":
		return x.reject(x.rowVerdict(a.code, AccessDenied, a.text, subject, class))
	case a.verb != "":
		return verbs[a.verb](x, it, a, subject, class)
	case strings.Contains(a.text, ":"):
		// A table within a table: a loop no limit on classes would show.
		return x.misconfigured("access table %s has an entry with a look-up table: %s; name a restriction class instead", it.arg, a.text)
	}
	return x.runWords(a.text, subject, class)
}

func (x *query) rowVerdict(code int, reason Reason, text, subject, class string) Verdict {
	v := Verdict{Action: Refuse, Reason: reason, Code: code, Subject: subject, Class: class, Rule: strings.Join(x.path, "/")}
	_, v.Enhanced, v.Text = splitReply("400 " + text)
	if v.Text == "" && v.Enhanced == "" {
		x.ownWords(&v)
	}
	return v
}
