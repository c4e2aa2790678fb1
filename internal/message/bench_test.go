package message

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// small is a usual message of 4 KB.
func small() []byte {
	return []byte("Return-Path: <a@example.com>\nReceived: from x (y [192.0.2.1])\n\tby z (Postfix) with ESMTPS id 4abc\n\tfor <u@example.org>; Sat, 21 Nov 2026 07:34:55 +0000 (UTC)\n" +
		"From: =?utf-8?q?J=C3=B6rg?= <joerg@example.com>\nTo: A <a@example.org>, B <b@example.org>\nSubject: a subject of some length\n" +
		"Date: Sat, 21 Nov 2026 07:34:55 +0000\nMessage-ID: <1234567890@example.com>\nReferences: <1@example.com>\n <2@example.com>\nMIME-Version: 1.0\n" +
		"Content-Type: multipart/alternative; boundary=\"b1_0123456789\"\n\n--b1_0123456789\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" +
		strings.Repeat("A line of text, as people write it to each other =C3=A4.\n", 25) +
		"--b1_0123456789\nContent-Type: text/html; charset=utf-8\n\n" + strings.Repeat("<p>A line of text, as people write it to each other.</p>\n", 25) + "--b1_0123456789--\n")
}

func BenchmarkParse4KB(b *testing.B) {
	m := small()
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	for b.Loop() {
		s, err := Parse(bytes.NewReader(m))
		must(b, err)
		s.Record()
	}
}

func benchmarkBig(b *testing.B, f func(m *bytes.Reader)) {
	data, err := io.ReadAll(big())
	must(b, err)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		f(bytes.NewReader(data))
	}
}

func BenchmarkParse50MB(b *testing.B) {
	benchmarkBig(b, func(m *bytes.Reader) {
		_, err := Parse(m)
		must(b, err)
	})
}

func BenchmarkSend50MBAsCRLF(b *testing.B) {
	var l Layout
	benchmarkBig(b, func(m *bytes.Reader) {
		if l == nil {
			s, err := Parse(m)
			must(b, err)
			l = s.Layout
		}
		lit, err := l.Section(m, &imap.FetchItemBodySection{})
		must(b, err)
		_, err = lit.WriteTo(io.Discard)
		must(b, err)
	})
}

func BenchmarkSearch50MB(b *testing.B) {
	text := "Content-Type: text/plain; charset=utf-8\n\n" + strings.Repeat("A line of text, as people write it to each other.\n", 1<<20)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	s := NewSearch([]Key{{Scope: ScopeText, Value: "not there"}})
	for b.Loop() {
		_, err := s.Match(strings.NewReader(text))
		must(b, err)
	}
}

func BenchmarkSearch4KB(b *testing.B) {
	m := small()
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	s := NewSearch([]Key{{Scope: ScopeText, Value: "not there"}})
	for b.Loop() {
		_, err := s.Match(bytes.NewReader(m))
		must(b, err)
	}
}

func benchRecord(b *testing.B) Pieces {
	s, err := Parse(bytes.NewReader(small()))
	must(b, err)
	b.ReportAllocs()
	return s.Record()
}

func BenchmarkRecordEnvelope(b *testing.B) {
	data := benchRecord(b)
	size := 0
	for _, p := range data {
		size += len(p)
	}
	b.ReportMetric(float64(size), "B/record")
	for b.Loop() {
		r, err := OpenRecord(data)
		must(b, err)
		if len(r.Envelope) == 0 {
			b.Fatal("no envelope")
		}
	}
}

func BenchmarkRecordHeaderFields(b *testing.B) {
	data := benchRecord(b)
	item := &imap.FetchItemBodySection{Specifier: "HEADER", HeaderFields: []string{"From", "To", "Cc", "Subject", "Date", "Message-ID", "References", "Content-Type"}}
	for b.Loop() {
		r, err := OpenRecord(data)
		must(b, err)
		if _, ok := r.HeaderFields(item); !ok {
			b.Fatal("not known")
		}
	}
}

func BenchmarkRecordSearchHeader(b *testing.B) {
	data := benchRecord(b)
	s := NewSearch([]Key{{Field: "Subject", Value: "not there"}, {Field: "From", Value: "jörg"}})
	for b.Loop() {
		r, err := OpenRecord(data)
		must(b, err)
		s.MatchRecord(r)
	}
}
