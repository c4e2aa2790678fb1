package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/sys/unix"

	"mailserver/delivery"
	"mailserver/internal/address"
	"mailserver/internal/config"
	"mailserver/internal/listen"
	"mailserver/internal/maillog"
	"mailserver/internal/pickup"
)

// pickups is how many messages of this host are taken at a time; others wait.
const pickups = 10

// pickupTime bounds the handing over of one message.
const pickupTime = 5 * time.Minute

// startPickup takes mail from sendmail(1). Without its socket the server runs
// all the same: sendmail then says 75, and its caller keeps the mail.
func (s *Server) startPickup(ctx context.Context) {
	path := pickup.Socket(s.Dir)
	l, err := (listen.Socket{Address: "unix:" + path}).Listen(ctx)
	if err == nil {
		err = os.Chmod(path, 0o666)
	}
	if err != nil {
		s.Log.Error("no mail is taken from sendmail", "socket", path, "err", err)
		return
	}
	s.tasks.Go(func() {
		<-ctx.Done()
		l.Close()
	})
	s.tasks.Go(func() {
		slots := make(chan struct{}, pickups)
		for {
			conn, err := l.Accept()
			if err != nil {
				if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
					return
				}
				time.Sleep(100 * time.Millisecond) // mostly a lack of descriptors
				continue
			}
			slots <- struct{}{}
			s.tasks.Go(func() {
				defer func() { <-slots }()
				defer conn.Close()
				stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })
				defer stop()
				conn.SetDeadline(time.Now().Add(pickupTime))
				reply := s.pickUp(ctx, conn)
				conn.SetWriteDeadline(time.Now().Add(pickupTime))
				json.NewEncoder(conn).Encode(reply)
			})
		}
	})
}

// pickUp takes one message.
func (s *Server) pickUp(ctx context.Context, conn net.Conn) pickup.Reply {
	c, err := config.Of[config.Pickup](s.Config)(ctx)
	uid := -1
	if err == nil {
		uid, err = peer(conn)
	}
	if err != nil {
		s.Log.Error("mail of sendmail not taken", "err", err)
		return pickup.Reply{Code: 451, Enhanced: "4.3.0", Text: "Error: temporary failure"}
	}
	r := bufio.NewReader(conn)
	req, err := pickup.ReadRequest(r)
	if err != nil {
		return pickup.Reply{Code: 501, Enhanced: "5.5.4", Text: err.Error()}
	}
	env, refused := s.pickupEnvelope(ctx, c, uid, req)
	if refused != nil {
		return *refused
	}
	if req.Verify {
		to := env.From
		if to.IsNull() {
			to = address.Address{Local: "postmaster", Domain: c.Origin}
		}
		s.tasks.Go(func() { s.Delivery.Verify(ctx, to, env.To) })
		return pickup.Reply{Code: 250, Enhanced: "2.0.0", Text: fmt.Sprintf("Mail Delivery Status Report will be mailed to <%s>.", to)}
	}
	msg, err := s.Delivery.Begin(ctx, env)
	if err != nil {
		return pickup.Reply{Code: 451, Enhanced: "4.3.0", Text: "Error: queue file write error"}
	}
	if err := copyPicked(msg, c, uid, env.From, req, io.LimitReader(r, req.Size)); err != nil {
		msg.Abort()
		return pickup.Reply{Code: 451, Enhanced: "4.3.0", Text: "Error: " + err.Error()}
	}
	maillog.Event(s.Log, slog.LevelInfo, maillog.Pickup, fmt.Sprintf("%s: uid=%d from=<%s>", msg.ID(), uid, env.From), "picked up",
		slog.String(maillog.QueueID, msg.ID()))
	eff, no := s.milters(ctx, msg, env) // behind header and body checks
	if no != nil {
		msg.Abort()
		return *no
	}
	// What is taken is taken, whatever becomes of the server's time.
	o := msg.Commit(context.WithoutCancel(ctx), eff)[0]
	return pickup.Reply{Code: o.Code, Enhanced: o.Enhanced, Text: o.Text}
}

// peer is the UID of the other end, unix(7) SO_PEERCRED.
func peer(conn net.Conn) (uid int, err error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return -1, errors.New("no Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return -1, err
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) { cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return -1, err
	}
	if cerr != nil {
		return -1, cerr
	}
	return int(cred.Uid), nil
}

func (s *Server) pickupEnvelope(ctx context.Context, c *config.Pickup, uid int, req *pickup.Request) (*delivery.Envelope, *pickup.Reply) {
	name := strconv.Itoa(uid)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	from := address.Address{Local: name, Domain: c.Origin}
	if req.From != nil {
		var err error
		if from, err = qualified(*req.From, c.Origin); err != nil {
			return nil, &pickup.Reply{Code: 501, Enhanced: "5.1.7", Text: "Bad sender address syntax"}
		}
		if ok, err := s.maySendAs(ctx, c, uid, name, from); err != nil {
			return nil, &pickup.Reply{Code: 451, Enhanced: "4.3.0", Text: "Error: temporary lookup failure"}
		} else if !ok {
			return nil, &pickup.Reply{Code: 553, Enhanced: "5.7.1", Text: fmt.Sprintf("<%s>: Sender address rejected: not owned by user %s", from, name)}
		}
	}
	switch {
	case len(req.To) == 0:
		return nil, &pickup.Reply{Code: 554, Enhanced: "5.5.1", Text: "Error: no valid recipients"}
	case len(req.To) > c.RecipientLimit:
		return nil, &pickup.Reply{Code: 452, Enhanced: "4.5.3", Text: "Error: too many recipients"}
	case c.MessageLimit > 0 && req.Size > c.MessageLimit:
		return nil, &pickup.Reply{Code: 552, Enhanced: "5.3.4", Text: "Error: message file too big"}
	}
	env := &delivery.Envelope{From: from, Proto: "local", Submitted: true, Options: smtp.MailOptions{Body: smtp.BodyType(strings.ToUpper(req.Body)),
		Size: req.Size, Return: smtp.DSNReturn(strings.ToUpper(req.Ret)), EnvelopeID: req.EnvID}}
	var opt smtp.RcptOptions
	for w := range strings.SplitSeq(strings.ToUpper(req.Notify), ",") {
		if w != "" {
			opt.Notify = append(opt.Notify, smtp.DSNNotify(w))
		}
	}
	for _, text := range req.To {
		a, err := qualified(text, c.Origin)
		if err != nil || a.IsNull() {
			return nil, &pickup.Reply{Code: 501, Enhanced: "5.1.3", Text: fmt.Sprintf("<%.100s>: Bad recipient address syntax", text)}
		}
		env.To = append(env.To, delivery.Recipient{Address: a, Options: opt})
	}
	return env, nil
}

func qualified(text, origin string) (address.Address, error) {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(text) > 512 {
		return address.Address{}, address.ErrSyntax
	}
	a, err := address.Parse(text)
	if err == nil && a.Domain == "" && a.Local != "" {
		a.Domain = origin
	}
	return a, err
}

// maySendAs: a user may send with the own name, with the null sender, and with
// addresses that SenderLogin rows give to the name; trusted users with all.
func (s *Server) maySendAs(ctx context.Context, c *config.Pickup, uid int, name string, from address.Address) (bool, error) {
	local, _, _ := address.SplitExtension(from.Local, "+")
	own := strings.EqualFold(local, name) && (strings.EqualFold(from.Domain, c.Origin) || strings.EqualFold(from.Domain, c.Hostname))
	if uid == 0 || uid == os.Getuid() || from.IsNull() || own || slices.Contains(c.Trusted, name) || slices.Contains(c.Trusted, "*") {
		return true, nil
	}
	view, err := s.Mail.View(ctx)
	if err != nil {
		return false, err
	}
	for _, key := range []string{from.Plain(), "@" + from.Domain} {
		owners, err := view.SenderOwners(ctx, key)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(owners, func(o string) bool { return strings.EqualFold(o, name) }) {
			return true, nil
		}
	}
	return false, nil
}

// maxPickedHeader bounds the header of a message that gets what it lacks.
const maxPickedHeader = 256 << 10

// copyPicked writes the message, with Received and the fields that it lacks.
func copyPicked(msg *delivery.Message, c *config.Pickup, uid int, from address.Address, req *pickup.Request, text io.Reader) error {
	now := time.Now()
	head := fmt.Sprintf("Received: by %s (%s, from userid %d)\r\n\tid %s; %s\r\n", c.Hostname, c.MailName, uid, msg.ID(), now.Format(mailDate))
	if _, err := io.WriteString(msg, head); err != nil {
		return err
	}
	counted := &counter{r: text}
	r := bufio.NewReader(counted)
	header, err := readPickedHeader(r)
	if err != nil {
		return err
	}
	add := func(name, value string) {
		if !hasField(header, name) {
			header = append(header, name+": "+value+"\r\n"...)
		}
	}
	if !from.IsNull() {
		full := from.String()
		if req.FullName != "" {
			full = quoteName(req.FullName) + " <" + full + ">"
		}
		add("From", full)
	}
	add("Date", now.Format(mailDate))
	add("Message-Id", fmt.Sprintf("<%s.%s@%s>", now.UTC().Format("20060102150405"), msg.ID(), c.Hostname))
	if next, err := r.Peek(2); err != nil || string(next) != "\r\n" {
		header = append(header, "\r\n"...)
	}
	if _, err := msg.Write(header); err != nil {
		return err
	}
	if _, err := io.Copy(msg, r); err != nil {
		return err
	}
	if counted.n != req.Size {
		return io.ErrUnexpectedEOF // the sender has died: half a message is none
	}
	return nil
}

// mailDate is the date-time of RFC 5322 §3.3.
const mailDate = "Mon, 2 Jan 2006 15:04:05 -0700 (MST)"

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// readPickedHeader reads up to the empty line, or to a line that is no field.
func readPickedHeader(r *bufio.Reader) ([]byte, error) {
	var header []byte
	for len(header) < maxPickedHeader {
		start, err := r.Peek(min(r.Size(), 1000))
		if len(start) == 0 || !isHeaderLine(start, len(header) > 0) {
			return header, nil
		}
		_ = err // what could not be read shows at the next read
		line, err := r.ReadSlice('\n')
		header = append(header, line...)
		for err == bufio.ErrBufferFull {
			line, err = r.ReadSlice('\n')
			header = append(header, line...)
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
	}
	return nil, errors.New("header too long")
}

func isHeaderLine(line []byte, folded bool) bool {
	if folded && (line[0] == ' ' || line[0] == '\t') {
		return true
	}
	colon := bytes.IndexByte(line, ':')
	end := bytes.IndexByte(line, '\n')
	return colon > 0 && (end < 0 || colon < end) && !bytes.ContainsAny(bytes.TrimRight(line[:colon], " \t"), " \t\r")
}

func hasField(header []byte, name string) bool {
	for line := range bytes.Lines(header) {
		field, _, ok := bytes.Cut(line, []byte(":"))
		if ok && strings.EqualFold(strings.TrimRight(string(field), " \t"), name) {
			return true
		}
	}
	return false
}

// quoteName makes a display name of a text, RFC 5322 §3.2.4.
func quoteName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
