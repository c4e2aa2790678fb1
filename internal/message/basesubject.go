package message

import "strings"

// Fold returns text as it is compared: RFC 5051 §2.
func Fold(s string) string { return string(appendFolded(nil, []byte(s))) }

// BaseSubject extracts the base subject of a Subject field's value, folded for
// comparison, and whether it is that of a reply or a forward: RFC 5256 §2.1.
func BaseSubject(value string) (base string, reply bool) {
	s := string(appendFoldedSqueezed(nil, []byte(Decode(value))))
	for {
		var again bool
		if s, again = cutTrailers(s); again {
			reply = true
		}
		if s, again = cutLeaders(s); again {
			reply = true
		}
		if !strings.HasPrefix(s, "[FWD:") || !strings.HasSuffix(s, "]") {
			return s, reply
		}
		s, reply = strings.TrimSpace(s[len("[FWD:"):len(s)-1]), true
	}
}

// cutTrailers takes "(fwd)" off the end.
func cutTrailers(s string) (string, bool) {
	found := false
	for {
		s = strings.TrimRight(s, " ")
		rest, ok := strings.CutSuffix(s, "(FWD)")
		if !ok {
			return s, found
		}
		s, found = rest, true
	}
}

// cutLeaders takes "Re:", "Fwd:" and "[blobs]" off the start, as long as
// something is left of blobs.
func cutLeaders(s string) (string, bool) {
	found := false
	for {
		s = strings.TrimLeft(s, " ")
		if rest, ok := cutRefwd(s); ok {
			s, found = rest, true
			continue
		}
		rest, ok := cutBlob(s)
		if !ok || rest == "" {
			return s, found
		}
		s = rest
	}
}

// cutRefwd is *subj-blob subj-refwd.
func cutRefwd(s string) (string, bool) {
	for {
		rest, ok := cutBlob(s)
		if !ok {
			break
		}
		s = rest
	}
	rest, ok := strings.CutPrefix(s, "RE")
	if !ok {
		if rest, ok = strings.CutPrefix(s, "FW"); !ok {
			return s, false
		}
		rest = strings.TrimPrefix(rest, "D")
	}
	rest = strings.TrimLeft(rest, " ")
	if after, ok := cutBlob(rest); ok {
		rest = after
	}
	return strings.CutPrefix(rest, ":")
}

// cutBlob is subj-blob.
func cutBlob(s string) (string, bool) {
	if s == "" || s[0] != '[' {
		return s, false
	}
	end := strings.IndexAny(s[1:], "[]")
	if end < 0 || s[1+end] == '[' {
		return s, false
	}
	return strings.TrimLeft(s[end+2:], " "), true
}

// MessageIDs finds the identifiers in a Message-ID, In-Reply-To or References
// field, without angle brackets and with quotes resolved: RFC 5256 §2.3. At most
// limit, the last ones of more.
func MessageIDs(value string, limit int) (ids []string) {
	for {
		id, rest := nextMessageID(value)
		if id == "" {
			return ids
		}
		if len(ids) >= limit {
			ids = append(ids[:0], ids[1:]...)
		}
		ids, value = append(ids, id), rest
	}
}

// FirstMessageID is the first that MessageIDs finds; "" if there is none.
func FirstMessageID(value string) string {
	id, _ := nextMessageID(value)
	return id
}

func nextMessageID(value string) (id, rest string) {
	for {
		_, after, found := strings.Cut(value, "<")
		raw, rest, closed := strings.Cut(after, ">")
		if !found || !closed {
			return "", ""
		}
		if id := messageID(raw); id != "" {
			return id, rest
		}
		value = rest
	}
}

func messageID(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at == len(s)-1 || len(s) > 998 {
		return ""
	}
	if !strings.ContainsAny(s, "\" \t\r\n\\") {
		return s
	}
	var b strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case isSpace(c) && !quoted:
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
