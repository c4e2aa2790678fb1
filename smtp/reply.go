package smtp

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"mailserver/policy"
)

// reply is what a command answers. A text of several lines is a reply of
// several lines. The zero reply sends nothing.
type reply struct {
	code     int
	enhanced string // "2.1.0"; '' where RFC 2034 §3 has none
	text     string
}

func (r reply) failed() bool { return r.code >= 400 }

// ends reports whether the connection ends after the reply: RFC 5321 §3.8,
// RFC 7504 §2.
func (r reply) ends() bool { return r.code == 221 || r.code == 421 || r.code == 521 }

// String is the reply in one line, as the log has it.
func (r reply) String() string {
	words := make([]string, 0, 3)
	words = append(words, strconv.Itoa(r.code))
	if r.enhanced != "" {
		words = append(words, r.enhanced)
	}
	return strings.Join(append(words, strings.ReplaceAll(r.text, "\n", " ")), " ")
}

// The replies that are the same everywhere. Those whose text names the host
// are methods of session.
var (
	ok              = reply{250, "2.0.0", "Ok"}
	okMail          = reply{250, "2.1.0", "Ok"}
	okRcpt          = reply{250, "2.1.5", "Ok"}
	goAhead         = reply{354, "", "End data with <CR><LF>.<CR><LF>"}
	bye             = reply{221, "2.0.0", "Bye"}
	goodbye         = reply{221, "2.7.0", "Error: I can break rules, too. Goodbye."}
	badSyntax       = reply{500, "5.5.2", "Error: bad syntax"}
	badUTF8         = reply{500, "5.5.2", "Error: bad UTF-8 syntax"}
	notRecognized   = reply{500, "5.5.2", "Error: command not recognized"}
	notImplemented  = reply{502, "5.5.1", "Error: command not implemented"}
	needHelo        = reply{503, "5.5.1", "Error: send HELO/EHLO first"}
	nestedMail      = reply{503, "5.5.1", "Error: nested MAIL command"}
	needMail        = reply{503, "5.5.1", "Error: need MAIL command"}
	needRcpt        = reply{503, "5.5.1", "Error: need RCPT command"}
	noRecipients    = reply{554, "5.5.1", "Error: no valid recipients"}
	needStartTLS    = reply{530, "5.7.0", "Must issue a STARTTLS command first"}
	outOfStep       = reply{554, "5.5.0", "Error: SMTP protocol synchronization"}
	tooManyRcpts    = reply{452, "4.5.3", "Error: too many recipients"}
	overSize        = reply{552, "5.3.4", "Message size exceeds fixed limit"}
	tooBig          = reply{552, "5.3.4", "Error: message file too big"}
	chunkTooBig     = reply{552, "5.3.4", "Chunk exceeds message size limit"}
	noStorage       = reply{452, "4.3.1", "Insufficient system storage"}
	writeError      = reply{451, "4.3.0", "Error: queue file write error"}
	lookupFailure   = reply{451, "4.3.0", "Temporary lookup failure"}
	undeclaredUTF8  = reply{553, "5.6.7", "Must declare SMTPUTF8 to send unicode address"}
	badSender       = reply{501, "5.1.7", "Bad sender address syntax"}
	badRecipient    = reply{501, "5.1.3", "Bad recipient address syntax"}
	allPortsBusy    = reply{421, "4.3.2", "All server ports are busy"}
	vrfyDisabled    = reply{502, "5.5.1", "VRFY command is disabled"}
	binaryNeedsBDAT = reply{503, "5.5.1", "Error: BODY=BINARYMIME needs BDAT"}
)

func syntax(of string) reply { return reply{501, "5.5.4", "Syntax: " + of} }

// verdictReply is a refusal in words; ok is false when v refuses nothing.
func verdictReply(v policy.Verdict) (r reply, refused bool) {
	if v.OK() {
		return reply{}, false
	}
	code, enhanced, text := Reply(v)
	return reply{code, enhanced, text}, true
}

// maxReplyText keeps a line within RFC 5321 §4.5.3.1.5, 512 bytes with code
// and line end.
const maxReplyText = 490

// appendTo adds the reply as it goes over the wire.
func (r reply) appendTo(b []byte) []byte {
	for rest, more := r.text, true; more; {
		var line string
		line, rest, more = strings.Cut(rest, "\n")
		b = strconv.AppendInt(b, int64(r.code), 10)
		if more {
			b = append(b, '-')
		} else {
			b = append(b, ' ')
		}
		if r.enhanced != "" {
			b = append(b, r.enhanced...)
			b = append(b, ' ')
		}
		b = append(appendPrintable(b, line), "\r\n"...)
	}
	return b
}

// appendPrintable adds s, what cannot be printed as a space, cut at
// maxReplyText: an answer may quote what the client sent.
func appendPrintable(b []byte, s string) []byte {
	end := len(b) + maxReplyText
	for _, c := range s {
		if c < ' ' || c == 0x7f || c == utf8.RuneError {
			c = ' '
		}
		if len(b)+utf8.RuneLen(c) > end {
			break
		}
		b = utf8.AppendRune(b, c)
	}
	return b
}
