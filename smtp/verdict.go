package smtp

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"mailserver/policy"
)

// words are what a Reason says: enhanced code and text. The first digit of the
// enhanced code follows the reply code. In texts, %s stands for the subject
// that was judged, %c for its class, %d for the detail.
type words struct {
	enhanced string
	sender   string // enhanced code where the subject is a sender; '' the same
	text     string
}

// rejected is the form of most refusals. The text of a row or class stands in
// the place of what is behind the colon.
const rejected = "<%s>: %c rejected: "

// reasons is the one table of what policy's refusals say, in Postfix's words.
var reasons = map[policy.Reason]words{
	policy.AccessDenied:    {"5.7.1", "", rejected + "Access denied"},
	policy.TryAgain:        {"4.3.2", "", rejected + "Try again later"},
	policy.RelayDenied:     {"5.7.1", "", "<%s>: Relay access denied"},
	policy.UserUnknown:     {"5.1.1", "5.1.0", rejected + "User unknown"}, // " in TABLE" follows
	policy.UserMoved:       {"5.1.6", "", rejected + "User has moved to %d"},
	policy.ConfigError:     {"4.3.5", "", "Server configuration error"},
	policy.LookupFailure:   {"4.3.0", "", "<%s>: Temporary lookup failure"},
	policy.ServiceRefused:  {"4.7.1", "", rejected + "Service unavailable"},
	policy.DeferIfPermit:   {"4.7.0", "", rejected + "defer_if_permit requested"},
	policy.DeferIfReject:   {"4.7.0", "", rejected + "defer_if_reject requested"},
	policy.NoHostname:      {"4.7.25", "", "%c rejected: cannot find your hostname, [%d]"},
	policy.NoReverseName:   {"4.7.1", "", "%c rejected: cannot find your reverse hostname, [%d]"},
	policy.InvalidName:     {"5.5.2", "", rejected + "Invalid name"},
	policy.InvalidLiteral:  {"5.5.2", "", rejected + "invalid ip address"},
	policy.NotFQDNHost:     {"5.5.2", "", rejected + "need fully-qualified hostname"},
	policy.NotFQDNAddress:  {"4.5.2", "", rejected + "need fully-qualified address"},
	policy.NeedEncryption:  {"4.7.1", "", "Session encryption is required"},
	policy.Pipelining:      {"5.5.0", "", rejected + "Improper use of SMTP command pipelining"},
	policy.BounceToMany:    {"5.5.3", "", rejected + "Multi-recipient bounce"},
	policy.NotOwned:        {"5.7.1", "", rejected + "not owned by user %d"},
	policy.NotLoggedIn:     {"5.7.1", "", rejected + "not logged in"},
	policy.Undeliverable:   {"5.1.1", "5.1.0", rejected + "Address is undeliverable"},
	policy.HostNotFound:    {"4.7.1", "", rejected + "Host not found"},
	policy.DomainNotFound:  {"4.1.2", "4.1.8", rejected + "Domain not found"},
	policy.MalformedDNS:    {"4.1.2", "4.1.8", rejected + "Malformed DNS server reply"},
	policy.NullMX:          {"4.1.10", "4.7.27", rejected + "Domain %d does not accept mail (nullMX)"},
	policy.DNSListed:       {"4.7.1", "", "%d"}, // the template of the list, filled in
	policy.NotAsked:        {"4.7.1", "", rejected + "Service unavailable"},
	policy.NoMailExchanger: {"4.4.4", "", rejected + "%d"},
	policy.PolicyFailure:   {"4.3.5", "", rejected + "Server configuration problem"},
	policy.Unverified:      {"4.1.1", "4.1.7", rejected + "unverified address: %d"},
	policy.UndeliverableTo: {"4.1.1", "4.1.7", rejected + "undeliverable address: %d"},
	policy.VerifyProblem:   {"4.1.1", "4.1.7", rejected + "address verification problem"},
	policy.SentTooMuch:     {"4.7.1", "", "Error: too much mail from user %d"},
	policy.Greylisted:      {"4.2.0", "", rejected + "Greylisted, try again later"},
	policy.SPFFailed:       {"5.7.23", "", rejected + "SPF %d"},          // RFC 7372 §3.2
	policy.SPFUnknown:      {"4.7.24", "", rejected + "SPF check: %d"},   // likewise
	policy.DMARCFailed:     {"5.7.26", "", rejected + "DMARC check: %d"}, // RFC 7372 §3.3
	policy.DMARCUnknown:    {"4.4.3", "", rejected + "DMARC check: %d"},
}

// maxReply bounds a reply line; RFC 5321 §4.5.3.1.5 allows 512 with CRLF.
const maxReply = 510

// Reply says a refusal: the reply code, the enhanced status code (RFC 3463)
// whose first digit agrees with it, and one line of text.
func Reply(v policy.Verdict) (code int, enhanced, text string) {
	w, ok := reasons[v.Reason]
	if !ok || v.Code < 400 || v.Code > 599 {
		return 451, "4.3.0", "Temporary failure"
	}
	enhanced = w.enhanced
	if w.sender != "" && v.Class == policy.ClassSender {
		enhanced = w.sender
	}
	if strings.HasPrefix(enhanced[1:], ".1.") && v.Class == policy.ClassHelo {
		enhanced = "4.7.1" // not about an address
	}
	if v.Enhanced != "" {
		enhanced = fixEnhanced(v.Enhanced, v.Class)
	}
	enhanced = string(rune('0'+v.Code/100)) + strings.TrimLeft(enhanced, "245")
	text = say(w.text, v)
	return v.Code, enhanced, oneLine(text, maxReply-len("450 ")-len(enhanced)-1)
}

// LogText is the reply as the log says it, "450 4.7.1 <x>: ...". For notes
// that refuse nothing (Verdict.Event warn, info, hold ...) it is their text.
func LogText(v policy.Verdict) string {
	if v.Event != "" && v.Event != "reject_warning" {
		return oneLine(v.Text, maxReply)
	}
	code, enhanced, text := Reply(v)
	return strconv.Itoa(code) + " " + enhanced + " " + text
}

// say fills a text in.
func say(text string, v policy.Verdict) string {
	if v.Text != "" {
		text = rejected
	}
	text = strings.NewReplacer("%s", v.Subject, "%c", v.Class, "%d", v.Detail).Replace(text)
	switch {
	case v.Text != "":
		text += v.Text
	case v.Reason == policy.UserUnknown && v.Detail != "":
		text += " in " + v.Detail
	}
	return text
}

// fixEnhanced fits a status code about an address, x.1.N, to what was judged:
// a row may be used for senders, recipients and names alike. Others stay.
func fixEnhanced(code, class string) string {
	if len(code) < 5 || code[1:4] != ".1." {
		return code
	}
	n := code[4:]
	sender := map[string]string{"1": "1.7", "2": "1.8", "3": "1.7", "4": "1.7", "5": "1.0", "6": "1.7", "7": "1.7", "8": "1.8"}
	rcpt := map[string]string{"1": "1.1", "2": "1.2", "3": "1.3", "4": "1.4", "5": "1.5", "6": "1.6", "7": "1.3", "8": "1.2"}
	var fixed string
	switch class {
	case policy.ClassSender:
		fixed = sender[n]
	case policy.ClassRecipient:
		fixed = rcpt[n]
	default:
		return code[:2] + "0.0"
	}
	if fixed == "" {
		fixed = "1.0"
	}
	return code[:2] + fixed
}

// oneLine makes what cannot be printed a space, and cuts at n bytes, never
// within a character.
func oneLine(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
