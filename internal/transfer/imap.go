package transfer

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// Server says how to reach an IMAP server.
type Server struct {
	Address  string // host:port
	TLS      bool   // from the first byte
	Plain    bool   // no STARTTLS either
	Insecure bool   // whatever the certificate is
	User     string
	Password string
	// Dial reaches the server; nil: the network.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// ParseURL reads imaps://user@host:port, or imap:// for STARTTLS.
func ParseURL(text string) (s Server, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return s, err
	}
	port := "143"
	switch u.Scheme {
	case "imaps":
		s.TLS, port = true, "993"
	case "imap":
	default:
		return s, fmt.Errorf("%q does not begin with imaps:// or imap://", text)
	}
	if u.Hostname() == "" || u.User == nil || u.User.Username() == "" {
		return s, fmt.Errorf("%q is not of the form imaps://USER@HOST", text)
	}
	if _, has := u.User.Password(); has {
		return s, errors.New("the password does not belong on a command line: use --password-stdin")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	s.Address, s.User = net.JoinHostPort(u.Hostname(), port), u.User.Username()
	return s, nil
}

// connect logs in.
func (s *Server) connect(ctx context.Context) (*imapclient.Client, error) {
	host, _, _ := net.SplitHostPort(s.Address)
	dial := s.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			d := net.Dialer{Timeout: time.Minute}
			return d.DialContext(ctx, "tcp", address)
		}
	}
	conn, err := dial(ctx, s.Address)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{ServerName: host, InsecureSkipVerify: s.Insecure}
	opt := &imapclient.Options{TLSConfig: conf}
	var c *imapclient.Client
	switch {
	case s.TLS:
		c = imapclient.New(tls.Client(conn, conf), opt)
	case s.Plain:
		c = imapclient.New(conn, opt)
	default:
		if c, err = imapclient.NewStartTLS(conn, opt); err != nil {
			conn.Close()
			return nil, fmt.Errorf("STARTTLS: %w", err)
		}
	}
	context.AfterFunc(ctx, func() { c.Close() })
	if err := c.Login(s.User, s.Password).Wait(); err != nil {
		c.Close()
		return nil, fmt.Errorf("log in: %w", err)
	}
	return c, nil
}

// IMAP is an IMAP server as source or target.
type IMAP struct {
	c         *imapclient.Client
	separator string
	selected  string
	validity  uint32
	made      map[string]bool
}

// DialIMAP logs in. Close it.
func DialIMAP(ctx context.Context, s Server) (*IMAP, error) {
	c, err := s.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Address, err)
	}
	i := &IMAP{c: c, separator: "/", made: map[string]bool{}}
	list, err := c.List("", "", nil).Collect()
	if err == nil && len(list) > 0 && list[0].Delim != 0 {
		i.separator = string(list[0].Delim)
	}
	return i, nil
}

// Close logs out.
func (i *IMAP) Close() error {
	i.c.Logout().Wait()
	return i.c.Close()
}

// Boxes implements Source.
func (i *IMAP) Boxes(context.Context) (boxes []Box, left []string, err error) {
	list, err := i.c.List("", "*", nil).Collect()
	if err != nil {
		return nil, nil, fmt.Errorf("LIST: %w", err)
	}
	subscribed := i.subscribed()
	prefix := i.commonPrefix(list)
	for _, m := range list {
		if slices.Contains(m.Attrs, imap.MailboxAttrNoSelect) || slices.Contains(m.Attrs, imap.MailboxAttrNonExistent) {
			continue
		}
		b := Box{Name: i.boxName(strings.TrimPrefix(m.Mailbox, prefix)), ref: m.Mailbox, Subscribed: subscribed == nil || subscribed[m.Mailbox]}
		for _, attr := range m.Attrs {
			switch attr {
			case imap.MailboxAttrArchive, imap.MailboxAttrDrafts, imap.MailboxAttrJunk, imap.MailboxAttrSent, imap.MailboxAttrTrash:
				b.Special = append(b.Special, attr)
			}
		}
		if strings.Contains(m.Mailbox, ".") && i.separator != "." {
			left = append(left, fmt.Sprintf("mailbox %q is called %q here: a dot divides levels", m.Mailbox, b.Name))
		}
		boxes = append(boxes, b)
	}
	slices.SortFunc(boxes, func(a, b Box) int { return cmp.Compare(a.Name, b.Name) })
	return boxes, left, nil
}

// subscribed returns names; nil when the server does not say.
func (i *IMAP) subscribed() map[string]bool {
	if !i.c.Caps().Has(imap.CapListExtended) {
		return nil
	}
	list, err := i.c.List("", "*", &imap.ListOptions{SelectSubscribed: true}).Collect()
	if err != nil {
		return nil
	}
	names := map[string]bool{}
	for _, m := range list {
		names[m.Mailbox] = true
	}
	return names
}

// commonPrefix is "INBOX." on servers that have everything below INBOX.
func (i *IMAP) commonPrefix(list []*imap.ListData) string {
	prefix := "INBOX" + i.separator
	for _, m := range list {
		if !strings.EqualFold(m.Mailbox, "INBOX") && !strings.HasPrefix(m.Mailbox, prefix) {
			return ""
		}
	}
	return prefix
}

func (i *IMAP) boxName(name string) string {
	if strings.EqualFold(name, "INBOX") {
		return "INBOX"
	}
	if i.separator != "." {
		name = strings.ReplaceAll(strings.ReplaceAll(name, ".", "_"), i.separator, ".")
	}
	return name
}

// Validity implements Source.
func (i *IMAP) Validity(_ context.Context, b Box) (string, error) {
	data, err := i.c.Select(b.ref, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		return "", fmt.Errorf("EXAMINE: %w", err)
	}
	i.selected, i.validity = b.ref, data.UIDValidity
	return strconv.FormatUint(uint64(data.UIDValidity), 10), nil
}

// window is how many messages are asked for at once.
const window = 500

// Each implements Source.
func (i *IMAP) Each(ctx context.Context, b Box, _, after string, fn func(*Message, io.Reader) error) error {
	last, _ := strconv.ParseUint(after, 10, 32)
	data, err := i.c.UIDSearch(&imap.SearchCriteria{UID: []imap.UIDSet{{{Start: imap.UID(last + 1), Stop: 0}}}}, nil).Wait()
	if err != nil {
		return fmt.Errorf("UID SEARCH: %w", err)
	}
	uids := data.AllUIDs()
	slices.Sort(uids)
	for len(uids) > 0 {
		n := min(len(uids), window)
		if uint64(uids[0]) > last { // "*" is the last message, whatever its UID
			if err := i.some(ctx, uids[:n], fn); err != nil {
				return err
			}
			uids = uids[n:]
			continue
		}
		uids = uids[1:]
	}
	return nil
}

// some copies the messages of a window: first what is said of them, then their
// texts, one after the other.
func (i *IMAP) some(ctx context.Context, uids []imap.UID, fn func(*Message, io.Reader) error) error {
	set := imap.UIDSetNum(uids...)
	about := map[imap.UID]*Message{}
	seqs := map[uint32]imap.UID{}
	list, err := i.c.Fetch(set, &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, RFC822Size: true}).Collect()
	if err != nil {
		return fmt.Errorf("UID FETCH: %w", err)
	}
	for _, m := range list {
		flags := slices.DeleteFunc(m.Flags, func(f imap.Flag) bool { return strings.EqualFold(string(f), `\Recent`) })
		about[m.UID] = &Message{ID: strconv.FormatUint(uint64(m.UID), 10), Flags: flags, Time: m.InternalDate, Size: m.RFC822Size}
		seqs[m.SeqNum] = m.UID
	}
	cmd := i.c.Fetch(set, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}})
	for {
		m := cmd.Next()
		if m == nil {
			break
		}
		uid := seqs[m.SeqNum]
		for {
			item := m.Next()
			if item == nil {
				break
			}
			switch item := item.(type) {
			case imapclient.FetchItemDataUID:
				uid = item.UID
			case imapclient.FetchItemDataBodySection:
				if meta := about[uid]; err == nil && item.Literal != nil && meta != nil {
					err = fn(meta, item.Literal)
				}
			}
		}
		if err != nil || ctx.Err() != nil {
			i.c.Close() // what is still to come is of no use
			return errors.Join(err, ctx.Err())
		}
	}
	if err := cmd.Close(); err != nil {
		return fmt.Errorf("UID FETCH: %w", err)
	}
	return nil
}

// Prepare implements Target.
func (i *IMAP) Prepare(_ context.Context, b Box) error {
	name := i.remote(b)
	if name != "INBOX" {
		if err := i.c.Create(name, nil).Wait(); err != nil {
			var no *imap.Error
			if !errors.As(err, &no) || i.c.State() == imap.ConnStateLogout {
				return fmt.Errorf("CREATE: %w", err)
			}
			if _, err := i.c.Status(name, &imap.StatusOptions{NumMessages: true}).Wait(); err != nil {
				return fmt.Errorf("CREATE: %w", no)
			}
		}
	}
	if b.Subscribed {
		i.c.Subscribe(name).Wait()
	}
	return nil
}

func (i *IMAP) remote(b Box) string {
	return strings.ReplaceAll(b.Name, ".", i.separator)
}

// Add implements Target.
func (i *IMAP) Add(_ context.Context, b Box, m *Message, text io.Reader) error {
	if m.Size < 0 {
		return errors.New("a message without a size cannot be appended")
	}
	cmd := i.c.Append(i.remote(b), m.Size, &imap.AppendOptions{Flags: m.Flags, Time: m.Time})
	n, err := io.Copy(cmd, io.LimitReader(text, m.Size))
	if err == nil && n < m.Size {
		err = fmt.Errorf("message %s has %d bytes, not %d", m.ID, n, m.Size)
	}
	if err != nil {
		i.c.Close() // an announced literal must come whole
		return err
	}
	if err := cmd.Close(); err != nil {
		return err
	}
	if _, err := cmd.Wait(); err != nil {
		return fmt.Errorf("APPEND: %w", err)
	}
	return nil
}

// Flush implements Target: each APPEND is for good.
func (i *IMAP) Flush(context.Context, Box) error { return nil }

// Next implements Target.
func (i *IMAP) Next(_ context.Context, b Box) (uint32, error) { return 0, nil }
