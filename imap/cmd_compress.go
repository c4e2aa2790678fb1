package imap

import (
	"compress/flate"
	"context"
	"io"
	"sync"

	"mailserver/internal/imapwire"
	"mailserver/internal/inflate"
)

func parseCompress(_ *session, d *imapwire.Decoder) string { return d.Keyword() }

// runCompress: RFC 4978.
func runCompress(_ context.Context, s *session, mechanism string) (reply, error) {
	switch {
	case mechanism != "DEFLATE":
		return reply{}, &no{"", "Unknown compression mechanism."}
	case s.link.deflated():
		return reply{}, &no{"COMPRESSIONACTIVE", "COMPRESSION already enabled."}
	}
	return reply{text: "Begin compression."}, nil
}

// afterCompress: what was sent before the answer is not compressed, and is
// dropped, as after STARTTLS.
func afterCompress(s *session, _ context.Context) error {
	if s.link.deflated() {
		return nil
	}
	if err := s.enc.Flush(); err != nil {
		return err
	}
	s.link.compress()
	s.dec.Reset(s.link)
	return nil
}

// compress makes what is read and written from now on DEFLATE.
func (l *link) compress() {
	l.inflate = inflate.New(func(p []byte, between bool) (int, error) {
		if between {
			return l.readRaw(p)
		}
		return l.readOn(p)
	})
}

func (l *link) deflated() bool { return l.inflate != nil }

// readOn reads more of a block that has begun: the session is not to be woken
// before it is whole.
func (l *link) readOn(p []byte) (int, error) {
	for {
		l.conn.SetReadDeadline(l.now().Add(readTimeout))
		n, err := l.conn.Read(p)
		l.in += int64(n)
		if n == 0 && err != nil && l.wasWoken() && isTimeout(err) {
			continue
		}
		return n, err
	}
}

// deflaters are shared: each piece is compressed by itself, so that a session
// which waits holds none. RFC 1951 lets a match reach back, it need not.
var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

// deflate compresses a piece and sends it whole.
func (l *link) deflate(p []byte) error {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(rawWriter{l})
	_, err := w.Write(p)
	if err == nil {
		err = w.Flush()
	}
	w.Reset(io.Discard)
	return err
}

// rawWriter writes to the connection.
type rawWriter struct{ l *link }

func (w rawWriter) Write(p []byte) (int, error) {
	w.l.conn.SetWriteDeadline(w.l.now().Add(writeTimeout))
	n, err := w.l.conn.Write(p)
	w.l.out += int64(n)
	return n, err
}
