package imap_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What both may choose is made one: numbers of MODSEQ and UIDVALIDITY, times a
// command took, the order of attributes and of mailboxes.
var choices = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`^[tf]\d+ `), "T "},
	{regexp.MustCompile(`\(TAG "t\d+"\)`), `(TAG "T")`},
	{regexp.MustCompile(` \(\d+\.\d+ \+ [\d.+ ]+ secs\)`), ""},
	{regexp.MustCompile(`^(\w+ (?:OK|NO) .*[^.])\.?\r\n$`), "$1\r\n"},
	{regexp.MustCompile(`^(\S+) BAD .*\r\n$`), "$1 BAD\r\n"}, // the tag, not the words
	{regexp.MustCompile(`^\* ID \("name" "\w+"\)`), `* ID ("name" "N")`},
	{regexp.MustCompile(` \\(?:Un)?Marked\b|\\(?:Un)?Marked\b ?`), ""}, // Dovecot says it when its list of mailboxes happens to know; we never do: RFC 3501 §7.2.2
	{regexp.MustCompile(`MODSEQ \(\d+\)`), "MODSEQ (M)"},
	{regexp.MustCompile(`(MODSEQ|UIDVALIDITY|COPYUID|APPENDUID) \d+`), "$1 V"},
	{regexp.MustCompile(`OK \[MAILBOXID \(\w+\)\] `), "OK "},
	{regexp.MustCompile(`(MAILBOXID|EMAILID|THREADID) \([^)]*\)`), "$1 (I)"},
}

func normalise(lines []string) []string {
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		if strings.HasPrefix(l, "* OK [MAILBOXID ") {
			continue // OBJECTID, which Dovecot does not offer here
		}
		for _, c := range choices {
			l = c.re.ReplaceAllString(l, c.with)
		}
		out = append(out, sortAttributes(l))
	}
	// Mailboxes may come in any order.
	for i := 0; i < len(out); {
		j := i
		for j < len(out) && isMailboxLine(out[j]) {
			j++
		}
		slices.Sort(out[i:j])
		i = max(j, i+1)
	}
	return out
}

func isMailboxLine(l string) bool {
	return strings.HasPrefix(l, "* LIST ") || strings.HasPrefix(l, "* LSUB ") || strings.HasPrefix(l, "* STATUS ")
}

var listed = regexp.MustCompile(`^(\* (?:\d+ FETCH|LIST|LSUB|METADATA \S+|STATUS \S+|STATUS "[^"]*"|FLAGS) )\(`)

// sortAttributes sorts what stands in the first parentheses of a response.
func sortAttributes(l string) string {
	at := listed.FindString(l)
	if at == "" {
		return l
	}
	items, rest := splitItems(l[len(at):])
	if strings.Contains(at, "FETCH") || strings.Contains(at, "STATUS") || strings.Contains(at, "METADATA") {
		var pairs []string
		for i := 0; i+1 < len(items); i += 2 {
			value := items[i+1]
			if items[i] == "FLAGS" {
				value = sortFlags(value)
			}
			pairs = append(pairs, items[i]+" "+value)
		}
		items = pairs
	}
	slices.Sort(items)
	return at + strings.Join(items, " ") + rest
}

func sortFlags(v string) string {
	words := strings.Fields(strings.Trim(v, "()"))
	slices.Sort(words)
	return "(" + strings.Join(words, " ") + ")"
}

// splitItems splits up to the closing parenthesis: words with brackets, quoted
// strings, literals, lists.
func splitItems(s string) (items []string, rest string) {
	start, depth, square := 0, 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
		case c == '{':
			if m := literalHead.FindStringSubmatch(s[i:]); m != nil {
				i += len(m[0]) + atoi(m[1]) - 1
			}
		case c == '[':
			square++
		case c == ']':
			square--
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == ')':
			if i > start {
				items = append(items, s[start:i])
			}
			return items, s[i:]
		case c == ' ' && depth == 0 && square == 0:
			items = append(items, s[start:i])
			start = i + 1
		}
	}
	return append(items, s[min(start, len(s)):]), ""
}

var literalHead = regexp.MustCompile(`^\{(\d+)\}\r\n`)

func atoi(s string) (n int) {
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}

func TestSplitItems(t *testing.T) {
	got := sortAttributes("* 1 FETCH (UID 3 BODY[HEADER.FIELDS (A)] {3}\r\n) ( FLAGS (\\Seen a) X \"q)\\\"\")\r\n")
	want := "* 1 FETCH (BODY[HEADER.FIELDS (A)] {3}\r\n) ( FLAGS (\\Seen a) UID 3 X \"q)\\\"\")\r\n"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// withoutCode drops the response code from our NO where Dovecot has none: it
// says the same in words.
func withoutCode(ours, theirs []string) []string {
	if len(ours) == 0 || len(theirs) == 0 || !strings.HasPrefix(theirs[len(theirs)-1], "T NO ") || strings.HasPrefix(theirs[len(theirs)-1], "T NO [") {
		return ours
	}
	out := slices.Clone(ours)
	out[len(out)-1] = codeOfNo.ReplaceAllString(out[len(out)-1], "T NO ")
	return out
}

var codeOfNo = regexp.MustCompile(`^T NO \[[A-Z]+\] `)
