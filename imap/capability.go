package imap

import (
	"context"
	"strings"
)

// capability is a word of CAPABILITY with when it is offered.
type capability struct {
	name   string
	before bool // before login, too
	after  bool // after it
}

// capabilities are in Dovecot's order as far as it has them: some clients show
// the line to people. I18NLEVEL=1, RFC 5255 §4.3, is the way strings are
// compared in SEARCH, SORT and THREAD.
var capabilityRows = []capability{
	{"IMAP4rev1", true, true}, {"IMAP4rev2", true, true}, {"SASL-IR", true, true},
	{"ID", true, true}, {"ENABLE", true, true}, {"IDLE", true, true},
	{"MULTIAPPEND", false, true}, {"UNSELECT", false, true}, {"CHILDREN", false, true},
	{"NAMESPACE", false, true}, {"UIDPLUS", false, true}, {"LIST-EXTENDED", false, true},
	{"SORT", false, true}, {"SORT=DISPLAY", false, true}, {"ESORT", false, true},
	{"THREAD=REFERENCES", false, true}, {"THREAD=REFS", false, true}, {"THREAD=ORDEREDSUBJECT", false, true},
	{"I18NLEVEL=1", false, true}, {"SEARCH=FUZZY", false, true}, {"PARTIAL", false, true}, {"SAVEDATE", false, true},
	{"CONDSTORE", false, true}, {"QRESYNC", false, true}, {"ESEARCH", false, true},
	{"SEARCHRES", false, true}, {"WITHIN", false, true}, {"CONTEXT=SEARCH", false, true}, {"CONTEXT=SORT", false, true}, {"MULTISEARCH", false, true}, {"LIST-STATUS", false, true},
	{"BINARY", false, true}, {"MOVE", false, true}, {"STATUS=SIZE", false, true},
	{"OBJECTID", false, true}, {"LITERAL+", true, true}, {"NOTIFY", false, true}, {"SPECIAL-USE", false, true},
	{"CREATE-SPECIAL-USE", false, true}, {"UTF8=ACCEPT", false, true},
	{"QUOTA", false, true}, {"QUOTA=RES-STORAGE", false, true}, {"QUOTA=RES-MESSAGE", false, true}, {"UNAUTHENTICATE", false, true},
	{"ACL", false, true}, {"RIGHTS=texk", false, true}, {"LIST-MYRIGHTS", false, true}, {"LIST-METADATA", false, true},
	{"XLIST", false, true}, {"METADATA", false, true}, {"REPLACE", false, true},
	{"COMPRESS=DEFLATE", false, true}, {"PREVIEW", false, true}, {"SNIPPET=FUZZY", false, true},
	{"CATENATE", false, true}, {"UIDONLY", false, true}, {"INPROGRESS", false, true},
}

// capabilities is the line for this session at this moment.
func (s *session) capabilities(ctx context.Context) string {
	list := make([]string, 0, 50)
	loggedIn := s.state != notAuthenticated
	for _, c := range capabilityRows {
		if (loggedIn && c.after || !loggedIn && c.before) && !s.hidden[c.name] {
			list = append(list, c.name)
		}
	}
	if loggedIn {
		list = append(list, s.appendLimit())
		if s.cfg.MessageLimit > 0 {
			list = append(list, "MESSAGELIMIT="+uitoa(uint64(s.cfg.MessageLimit)))
		}
		return configured(s.cfg.Capability, list)
	}
	return strings.Join(append(list, s.loginCapabilities(ctx)...), " ")
}

// appendLimit: RFC 7889 §2. Without a number the limit is not the same
// everywhere; 32 bits are what a literal may have.
func (s *session) appendLimit() string {
	return "APPENDLIMIT=" + uitoa(uint64(s.maxMailSize()))
}

func configured(setting string, list []string) string {
	own := strings.Join(list, " ")
	switch {
	case setting == "":
		return own
	case setting[0] == '+':
		return own + " " + strings.TrimSpace(setting[1:])
	}
	return setting
}

func (s *session) loginCapabilities(ctx context.Context) []string {
	var list []string
	if s.mayStartTLS() {
		list = append(list, "STARTTLS")
	}
	plaintext := s.plaintextAllowed()
	if !plaintext {
		list = append(list, "LOGINDISABLED")
	}
	if !s.loginAllowed() {
		return list
	}
	for _, m := range s.srv.d.Auth.Mechanisms(ctx, s.client(), plaintext) {
		list = append(list, "AUTH="+m)
	}
	return list
}

func runCapability(ctx context.Context, s *session) (reply, error) {
	s.enc.Raw("* CAPABILITY ").Raw(s.capabilities(ctx)).CRLF()
	if s.state == notAuthenticated {
		return reply{text: "Pre-login capabilities listed, post-login capabilities have more."}, nil
	}
	return reply{}, nil
}
