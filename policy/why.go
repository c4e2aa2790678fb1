package policy

import (
	"slices"
	"strings"
)

// mostReasons bounds the reasons of one message.
const mostReasons = 12

// addReasons adds to the reasons of a message those of one recipient. They name
// restrictions and classes, never the recipient: others read them too.
func (v Verdict) addReasons(list []string) []string {
	add := func(text string) {
		if len(list) < mostReasons && !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	if v.By != "" {
		add("taken by " + v.By)
	} else {
		add("nothing against it")
	}
	for _, w := range v.Warnings {
		switch w.Event {
		case "reject_warning":
			add("warned by " + w.Rule)
		case "warn", "hold", "redirect", "filter", "bcc", "prepend":
			add(w.Event + " by " + w.Rule)
		case "info":
			if _, text, ok := strings.Cut(w.Text, ": "+ClassRecipient+" delayed"); ok {
				add("delayed" + text)
			}
		}
	}
	return list
}

// reasonHeader says in the message why it was taken.
func (x *query) reasonHeader() {
	if !x.cfg.ReasonHeader || x.s.client.Role != MX || x.s.user != "" || x.s.discard || len(x.s.reasons) == 0 {
		return
	}
	field := "X-Mailserver-Reason: " + strings.Map(printableASCII, strings.Join(x.s.reasons, "; "))
	const most = 900 // RFC 5322 §2.1.1: 998
	x.effects.Reason = field[:min(len(field), most)]
}

func printableASCII(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}
