package imap

import (
	"io"
	"slices"

	"mailserver/internal/imapwire"
	"mailserver/internal/message"
)

// previewItem is PREVIEW, RFC 8970, or SNIPPET, which Dovecot had before it.
// It never sets \Seen.
func previewItem(word string) fetchItem {
	return fetchItem{name: word, ready: func(o *openMessage) (value, error) {
		text, err := o.preview()
		if word == "SNIPPET" {
			return value{text: slices.Concat([]byte("(FUZZY "), text, []byte(")"))}, err
		}
		return value{text: text}, err
	}}
}

// readPreviewWord reads what may stand in parentheses after PREVIEW and SNIPPET.
// The beginning of a message is read quickly enough for LAZY.
func (a *fetchArgs) readPreviewWord(d *imapwire.Decoder, word string) {
	known := map[string][]string{"PREVIEW": {"LAZY"}, "SNIPPET": {"FUZZY", "LAZY=FUZZY"}}
	if !slices.Contains(known[a.previews], word) {
		d.Fail("Unknown parameter: %s", word)
	}
}

// preview is a string of the grammar.
func (o *openMessage) preview() ([]byte, error) {
	body, err := o.file()
	if err != nil {
		return nil, err
	}
	f, _ := body.File()
	text, err := message.Preview(io.NewSectionReader(f, 0, 1<<62))
	if err != nil {
		return nil, err
	}
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return literalOf([]byte(text)), nil
		}
	}
	return []byte(`"` + text + `"`), nil
}
