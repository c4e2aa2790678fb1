package storage

import (
	"io/fs"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"mailserver/internal/mutf7"
)

// subscriptionFile is in the Maildir; Dovecot writes and reads it there.
const subscriptionFile = "subscriptions"

// subscriptionHead begins the second version of the format: levels of a name
// are divided by tabs. The first has names as they are on disk.
const subscriptionHead = "V\t2\n\n"

const (
	maxSubscriptionFile = 1 << 20
	maxSubscriptions    = 10000
)

// parseSubscriptions reads either version; names in modified UTF-7 and in plain
// UTF-8. Lines that no mailbox can be called are left out.
func parseSubscriptions(text string) []string {
	rest, second := strings.CutPrefix(text, "V\t2\n")
	var list []string
	for line := range strings.Lines(rest) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || len(list) == maxSubscriptions {
			continue
		}
		if second {
			line = strings.ReplaceAll(line, "\t", string(Separator))
		}
		if strings.Contains(line, "/") {
			if name, err := mutf7.Decode(line); err == nil && ofOthers(name) {
				list = append(list, name)
			}
			continue
		}
		if name, ok := nameOf("." + strings.TrimPrefix(line, ".")); ok {
			list = append(list, name)
		} else if strings.EqualFold(line, inbox) {
			list = append(list, inbox)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// formatSubscriptions writes the second version.
func formatSubscriptions(names []string) string {
	var b strings.Builder
	b.WriteString(subscriptionHead)
	for _, name := range names {
		for i, level := range strings.Split(name, string(Separator)) {
			if i > 0 {
				b.WriteByte('\t')
			}
			enc, err := mutf7.Encode(level)
			if err != nil {
				enc = level
			}
			b.WriteString(enc)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// ofOthers says whether a name may be one of another namespace: it has a slash,
// which those of the account have not.
func ofOthers(name string) bool {
	return strings.Contains(name, "/") && fs.ValidPath(name) && len(name) <= 1000 && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// subscribable is canonical for names that may also be of other namespaces.
func subscribable(name string) (string, error) {
	if ofOthers(name) {
		return name, nil
	}
	return canonical(name)
}
