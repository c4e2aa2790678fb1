package milter

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailserver/internal/setting"
)

// memory is a message in memory.
type memory struct{ text []byte }

func (m *memory) Open() io.Reader { return bytes.NewReader(m.text) }
func (m *memory) Rewrite(fn func(io.Writer) error) error {
	var b bytes.Buffer
	err := fn(&b)
	if err == nil {
		m.text = b.Bytes()
	}
	return err
}
func (m *memory) Spare() (Spare, error) { return &spare{}, nil }

type spare struct{ bytes.Buffer }

func (s *spare) Open() io.Reader { return bytes.NewReader(s.Bytes()) }
func (s *spare) Drop()           {}

func defaults(t testing.TB, rows ...string) *Config {
	table, err := setting.NewTable(Config{})
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string)
	for _, r := range rows {
		name, value, _ := strings.Cut(r, "=")
		m[name] = value
	}
	c := new(Config)
	if err := table.Fill(c, m); err != nil {
		t.Fatal(err)
	}
	return c
}

// scripted is a filter that agrees to all and answers each event by its
// letter; "" is no answer. It returns what it was sent.
func scripted(nc net.Conn, steps uint32, answers map[byte][]byte) (letters string) {
	defer nc.Close()
	var buf []byte
	for {
		code, _, grown, err := readPacket(nc, buf)
		if err != nil {
			return letters
		}
		buf = grown
		letters += string(code)
		var out []byte
		switch a, ok := answers[code]; {
		case code == evOptneg:
			out = appendPacket(nil, evOptneg, uint32(6), uint32(0x1ff), steps)
		case code == evMacro || code == evAbort || code == evQuit:
			continue
		case ok:
			out = a
		default:
			out = appendPacket(nil, rpContinue)
		}
		if len(out) == 0 {
			continue
		}
		if _, err := nc.Write(out); err != nil {
			return letters
		}
	}
}

// run takes one message through a scripted filter.
func run(t *testing.T, text string, steps uint32, answers map[byte][]byte, rows ...string) (d Decision, c Changes, after, letters string, warned []string) {
	ours, theirs := net.Pipe()
	done := make(chan string)
	go func() { done <- scripted(theirs, steps, answers) }()
	conf := defaults(t, rows...)
	specs, err := conf.Parse("inet:127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Deps{Config: conf, Warn: func(line string) { warned = append(warned, line) },
		Dial: func(context.Context, string, string) (net.Conn, error) { return ours, nil }}, specs)
	ctx := context.Background()
	m := &memory{[]byte(text)}
	for _, step := range []func() Decision{
		func() Decision { return s.Connect(ctx, "client", netip.MustParseAddrPort("192.0.2.1:99")) },
		func() Decision { return s.Helo(ctx, "client") },
		func() Decision { return s.Mail(ctx, "<a@b>") },
		func() Decision { return s.Rcpt(ctx, "<c@d>") },
		func() Decision { return s.Data(ctx) },
	} {
		if d = step(); d.Kind != Continue {
			break
		}
	}
	if d.Kind == Continue {
		if d, c, err = s.Message(ctx, m, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	ours.Close()
	return d, c, string(m.text), <-done, warned
}

const plain = "Received: ours\r\nSubject: x\r\nReceived: other\r\n\tfolded\r\n\r\nbody\r\n"

func TestFilterHearsWhatItWants(t *testing.T) {
	for name, c := range map[string]struct {
		steps  uint32
		silent map[byte][]byte
		want   string
	}{
		"all":                 {0, nil, "ODCDHDMDRDTLLDNBDEQ"},
		"no reply to headers": {noHeaderReply | noMailReply, map[byte][]byte{evHeader: {}, evMail: {}}, "ODCDHDMDRDTLLDNBDEQ"},
		"nothing but the end": {0x7f | noData | noUnknown, nil, "ODDDDDDDEQ"},
	} {
		_, _, after, got, warned := run(t, plain, c.steps, c.silent, "milter_connect_macros=j", "milter_helo_macros=j", "milter_mail_macros=j", "milter_rcpt_macros=j",
			"milter_data_macros=j", "milter_end_of_header_macros=j", "milter_end_of_data_macros=j")
		if got != c.want || after != plain || len(warned) > 0 {
			t.Errorf("%s: heard %s, want %s; %q %v", name, got, c.want, after, warned)
		}
	}
}

func TestFilterChangesMessage(t *testing.T) {
	packet := func(code byte, parts ...any) []byte { return appendPacket(nil, code, parts...) }
	join := func(p ...[]byte) []byte { return append(bytes.Join(p, nil), packet(rpContinue)...) }
	for name, c := range map[string]struct {
		answer []byte
		want   string
	}{
		"a line end in a value folds": {join(packet(rpAddHeader, "X-A", "1\n\nX-Evil: 2\r\n\r\nbody")), "Received: ours\r\nSubject: x\r\nReceived: other\r\n\tfolded\r\nX-A: 1\r\n\tX-Evil: 2\r\n\tbody\r\n\r\nbody\r\n"},
		"our Received is not there":   {join(packet(rpChgHeader, uint32(1), "received", "")), "Received: ours\r\nSubject: x\r\n\r\nbody\r\n"},
		"behind our Received":         {join(packet(rpInsHeader, uint32(1), "X-I", "1")), "Received: ours\r\nX-I: 1\r\nSubject: x\r\nReceived: other\r\n\tfolded\r\n\r\nbody\r\n"},
		"a body without line end":     {join(packet(rpReplBody, []byte("new"))), "Received: ours\r\nSubject: x\r\nReceived: other\r\n\tfolded\r\n\r\nnew\r\n"},
		"an empty body":               {join(packet(rpReplBody)), "Received: ours\r\nSubject: x\r\nReceived: other\r\n\tfolded\r\n\r\n"},
	} {
		_, _, after, _, warned := run(t, plain, 0, map[byte][]byte{evEOB: c.answer})
		if after != c.want {
			t.Errorf("%s: %q\nwant %q\n%v", name, after, c.want, warned)
		}
	}
}

func TestFilterNonsense(t *testing.T) {
	packet := func(code byte, parts ...any) []byte { return appendPacket(nil, code, parts...) }
	for name, answer := range map[string][]byte{
		"no packet":           []byte("HTTP/1.0 200 OK\r\n\r\n"),
		"length 0":            {0, 0, 0, 0, 'c'},
		"huge":                {0xff, 0xff, 0xff, 0xff, 'c'},
		"unknown letter":      packet('?'),
		"half a header":       packet(rpAddHeader, []byte("X-A")),
		"a name with a space": packet(rpAddHeader, "X A", "1"),
		"an empty name":       packet(rpChgHeader, uint32(1), "", "1"),
		"reply 250":           packet(rpReplyCode, "250 2.0.0 fine"),
		"no recipient":        packet(rpAddRcpt),
		"optneg":              packet(evOptneg, uint32(6), uint32(0), uint32(0)),
	} {
		d, _, after, _, warned := run(t, plain, 0, map[byte][]byte{evEOB: answer})
		if d != tryLater || after != plain || len(warned) != 1 {
			t.Errorf("%s: %+v %q %v", name, d, after, warned)
		}
	}
}

func TestSilentFilterIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		d, _, _, _, warned := run(t, plain, 0, map[byte][]byte{evMail: {}}, "milter_command_timeout=7s", "milter_default_action=reject")
		if d.Reply != "550 5.5.0 Service unavailable" || time.Since(begun) != 7*time.Second || len(warned) != 1 {
			t.Errorf("%+v after %v, %v", d, time.Since(begun), warned)
		}
	})
}

func TestParseFilters(t *testing.T) {
	c := defaults(t)
	list, err := c.Parse("inet:localhost:1, { unix:/run/x, default_action=accept, command_timeout=5s protocol=4 } inet:99")
	if err != nil || len(list) != 3 || list[1].DefaultAction != "accept" || list[1].Command != 5*time.Second || list[1].Protocol != 4 ||
		list[1].Network != "unix" || list[2].Address != "localhost:99" || list[0].Content != 300*time.Second {
		t.Errorf("%+v, %v", list, err)
	}
	for _, bad := range []string{"localhost:1", "inet:", "{ unix:/x", "{}", "{ unix:/x what=1 }", "{ unix:/x default_action=maybe }", "{ unix:/x protocol=5 }", "{ unix:/x connect_timeout=0 }"} {
		if list, err := c.Parse(bad); err == nil {
			t.Errorf("%q: %+v", bad, list)
		}
	}
}

// FuzzAnswer gives the answer of a filter at the end of a message to the
// client: it must not crash, and what comes out must be one header section
// and a body.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("Subject: x\r\n\r\nbody"), appendPacket(nil, rpAddHeader, "X-A", "1\n2"))
	f.Add([]byte("no header"), append(appendPacket(nil, rpInsHeader, uint32(3), "X-A", ""), appendPacket(nil, rpReplBody, []byte("x"))...))
	f.Add([]byte(" \r\n"), appendPacket(nil, rpChgHeader, uint32(2), "Subject", "\r\n\r\n"))
	f.Add([]byte(""), appendPacket(nil, rpChgFrom, "<>", "RET=FULL"))
	f.Fuzz(func(t *testing.T, text, answer []byte) {
		fl := &filter{s: New(Deps{Config: defaults(t)}, nil), actions: 0x1ff, state: message}
		fl.agree(answer)
		head, at, err := readHeader(bytes.NewReader(text))
		if err != nil {
			return
		}
		m := &edits{text: &memory{text}, head: head, bodyAt: at, limit: 1 << 16}
		for r := bytes.NewReader(answer); ; {
			code, data, _, err := readPacket(r, nil)
			if err != nil {
				break
			}
			m.take(fl, code, data)
			fl.heard(event{code: evMail}, code, data)
		}
		var out bytes.Buffer
		if err := m.write(&out); err != nil {
			t.Fatal(err)
		}
		again, _, err := readHeader(&out)
		if err != nil || m.changed && len(again) != len(m.head) {
			t.Fatalf("%d fields written, %d read: %q %v", len(m.head), len(again), out.Bytes(), err)
		}
	})
}
