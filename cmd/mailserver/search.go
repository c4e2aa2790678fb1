package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-sasl"

	goimap "github.com/emersion/go-imap/v2"

	"mailserver/auth"
	"mailserver/imap"
	"mailserver/internal/config"
	"mailserver/internal/mutf7"
	"mailserver/internal/server"
	"mailserver/storage"
)

// searcher runs queries of the command line as SEARCH of IMAP, by the engine
// that serves it.
type searcher struct {
	conn net.Conn
	r    *bufio.Reader
	tag  int
	srv  *imap.Server
}

// token lets in whoever has the word that this process has made up.
type token struct{ user, word string }

func (t token) Plain(_ context.Context, _ auth.Client, user, password string) (auth.Identity, error) {
	if user != t.user || password != t.word {
		return auth.Identity{}, auth.ErrBadCredentials
	}
	return auth.Identity{User: user}, nil
}

func (token) Mechanisms(context.Context, auth.Client, bool) []string { return nil }

func (token) Begin(context.Context, auth.Client, string, func(auth.Identity)) sasl.Server { return nil }

// newSearcher logs in to an engine of its own, on loopback.
func newSearcher(ctx context.Context, p *server.Parts, user string, account *storage.Account) (*searcher, error) {
	word := rand.Text()
	srv := imap.New(imap.Deps{
		Auth:    token{user, word},
		Account: func(context.Context, string) (*storage.Account, error) { return account, nil },
		Config:  config.Of[imap.Config](p.Config),
		Log:     slog.New(slog.DiscardHandler),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go srv.Serve(ctx, l, imap.ListenerOptions{})
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		srv.Shutdown(ctx)
		return nil, err
	}
	s := &searcher{conn: conn, r: bufio.NewReader(conn), srv: srv}
	if _, err = s.r.ReadString('\n'); err == nil {
		_, err = s.do(fmt.Sprintf(`LOGIN %s %s`, literal(user), word))
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("search: %w", err)
	}
	return s, nil
}

func (s *searcher) close() {
	s.conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.srv.Shutdown(ctx)
}

// literal is a string whatever is in it, RFC 7888.
func literal(text string) string { return fmt.Sprintf("{%d+}\r\n%s", len(text), text) }

func (s *searcher) do(command string) (lines []string, err error) {
	s.tag++
	tag := "x" + strconv.Itoa(s.tag) + " "
	if _, err := s.conn.Write([]byte(tag + command + "\r\n")); err != nil {
		return nil, err
	}
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		line = strings.TrimRight(line, "\r\n")
		rest, last := strings.CutPrefix(line, tag)
		switch {
		case last && strings.HasPrefix(rest, "OK"):
			return lines, nil
		case last:
			return nil, errors.New(rest)
		}
		lines = append(lines, line)
	}
}

// query is what the words of a command line ask for, as doveadm-search-query(7):
// "mailbox NAME" at any place, else keys of SEARCH.
type query struct {
	boxes []string // patterns; none: all
	keys  string
}

func parseQuery(words []string) (q query, err error) {
	var keys []string
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case strings.EqualFold(w, "mailbox"):
			if i++; i == len(words) {
				return q, usage("mailbox: say which")
			}
			q.boxes = append(q.boxes, words[i])
		case isKey(w):
			keys = append(keys, w)
		default:
			keys = append(keys, literal(w))
		}
	}
	if len(keys) == 0 {
		if len(q.boxes) == 0 {
			return q, usage("say which messages: ALL, or keys of SEARCH")
		}
		keys = []string{"ALL"}
	}
	q.keys = strings.Join(keys, " ")
	return q, nil
}

// isKey says that a word can stand as it is.
func isKey(w string) bool {
	if w == "" || strings.HasPrefix(w, "{") {
		return false
	}
	for i := range len(w) {
		if c := w[i]; c <= ' ' && !strings.HasPrefix(w, "(") || c >= 0x7f || c == '"' || c == '\\' || c == '{' {
			return false
		}
	}
	return true
}

// wants reports whether a mailbox is one of the query; * and % as in LIST.
func (q *query) wants(name string) bool {
	for _, p := range q.boxes {
		if p == name || strings.EqualFold(p, name) && strings.EqualFold(name, "INBOX") || like(p, name) {
			return true
		}
	}
	return len(q.boxes) == 0
}

// like matches a pattern of LIST without going back more than once.
func like(pattern, name string) bool {
	star, from := -1, 0
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && (pattern[p] == '*' || pattern[p] == '%'):
			star, from = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p, n = p+1, n+1
		case star >= 0 && !(pattern[star] == '%' && name[from] == storage.Separator):
			from++
			p, n = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && (pattern[p] == '*' || pattern[p] == '%') {
		p++
	}
	return p == len(pattern)
}

// each calls fn for every mailbox with the UIDs that the query finds there.
func (q *query) each(ctx context.Context, p *server.Parts, user string, fn func(a *storage.Account, box string, uids []goimap.UID) error) error {
	account, err := p.Account(ctx, user)
	if err != nil {
		return err
	}
	if account == nil {
		return fmt.Errorf("%s: %w", user, errNoUser)
	}
	s, err := newSearcher(ctx, p, user, account)
	if err != nil {
		return err
	}
	defer s.close()
	list, err := account.List(ctx)
	if err != nil {
		return err
	}
	for _, m := range list {
		if !m.Exists || !q.wants(m.Name) {
			continue
		}
		uids, err := s.find(m.Name, q.keys)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		if len(uids) > 0 {
			if err := fn(account, m.Name, uids); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *searcher) find(box, keys string) (uids []goimap.UID, err error) {
	name, err := mutf7.Encode(box)
	if err != nil {
		return nil, err
	}
	if _, err := s.do("EXAMINE " + literal(name)); err != nil {
		return nil, err
	}
	lines, err := s.do("UID SEARCH CHARSET UTF-8 " + keys)
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, "* SEARCH"); ok {
			for word := range strings.FieldsSeq(rest) {
				n, err := strconv.ParseUint(word, 10, 32)
				if err != nil {
					break
				}
				uids = append(uids, goimap.UID(n))
			}
		}
	}
	return uids, err
}
