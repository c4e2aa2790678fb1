package message

import (
	"io"
	"strings"
)

// TextSink takes what a Search looks in, in the form in which strings are
// compared. The slices are valid during the call.
type TextSink interface {
	// Header has a field of the message or of a part: name, ": " and value.
	Header(folded []byte)
	// Text has a piece of the text of a part; what is looked for may begin in one
	// piece and end in another.
	Text(folded []byte)
	// EndText ends the text of a part.
	EndText()
}

// Texts passes all that keys could be found in to sinks, one message after the
// other. For one goroutine.
type Texts struct{ s *Search }

// NewTexts returns a Texts.
func NewTexts() *Texts { return &Texts{NewSearch(nil)} }

// Read reads a message.
func (t *Texts) Read(r io.Reader, to TextSink) error {
	t.s.sink = to
	_, err := t.s.Match(r)
	return err
}

// Needle is the form in which Value of a key is looked for: Match finds it where
// it is part of what a TextSink is given.
func (k Key) Needle() []byte {
	return appendFolded(nil, []byte(strings.ReplaceAll(k.Value, "\r", "")))
}
