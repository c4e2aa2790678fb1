package server

import (
	"context"
	"crypto/tls"
	"net"

	"mailserver/imap"
	"mailserver/internal/config"
	"mailserver/internal/listen"
	"mailserver/internal/login"
	"mailserver/internal/milter"
	"mailserver/internal/tlscert"
	"mailserver/policy"
	"mailserver/pop3"
	"mailserver/schema"
	"mailserver/smtp"
)

// spoken are the protocols of Listener that this server speaks.
var spoken = []string{"mx", "submission", "lmtp", "imap", "pop3", "http"}

// Speaks reports whether a listener of the protocol can be served.
func Speaks(protocol string) bool {
	for _, p := range spoken {
		if p == protocol {
			return true
		}
	}
	return false
}

// startEdges makes the servers of all protocols.
func (s *Server) startEdges(proc *config.Process) error {
	tlsConf, err := s.tlsConfig(proc)
	if err != nil {
		return err
	}
	take := smtp.Deps{
		Judge:  smtp.Judging(s.Policy),
		Route:  s.Route,
		Accept: smtp.Accepting(s.Delivery),
		Auth:   s.Auth,
		Config: config.Of[smtp.Config](s.Config),

		Milter: config.Of[milter.Config](s.Config), MilterMap: s.clientRow,
		Screen: s.screen(),

		Log: s.Log,
		Now: s.opt.Now,
	}
	if s.opt.DNS != nil {
		take.Resolve = s.opt.DNS.ClientName
	}
	mail := smtpEdge{smtp.New(take), tlsConf}
	read := imapEdge{imap.New(imap.Deps{
		Auth:    s.Auth,
		Account: s.Account,
		Sharing: s.sharing(),
		TLS:     func() *tls.Config { return tlsConf },
		Config:  config.Of[imap.Config](s.Config),
		Log:     s.Log,
		Now:     s.opt.Now,
	})}
	fetch := pop3Edge{pop3.New(pop3.Deps{
		Auth:    s.Auth,
		Account: s.Account,
		TLS:     func() *tls.Config { return tlsConf },
		Config:  config.Of[pop3.Config](s.Config),
		Log:     s.Log,
		Now:     s.opt.Now,
	})}
	web := newWebEdge(s)
	s.edges = []edge{mail, read, fetch, web}
	s.sessions = func() map[string]int {
		return map[string]int{"smtp": mail.s.Sessions(), "imap": read.s.Sessions(), "pop3": fetch.s.Sessions()}
	}
	s.ls = newListeners(map[string]edge{"mx": mail, "submission": mail, "lmtp": mail, "imap": read, "pop3": fetch, "http": web}, config.Of[listen.Config](s.Config), s.Log)
	return nil
}

// tlsConfig is for all listeners: the certificate is the one that the row of
// the listener names, else the one for the name that the client asks for.
func (s *Server) tlsConfig(proc *config.Process) (*tls.Config, error) {
	min, err := minTLS(proc.MinTLS)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{
		MinVersion: min, Time: s.opt.Now,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := s.Certs.Pick(hello.Context(), s.ls.certOf(hello.Conn.LocalAddr()), hello.ServerName)
			tlscert.Tell(hello, cert)
			return cert, err
		},
	}
	c.GetConfigForClient = s.askForCertificate(tlscert.Asking(c))
	return c, nil
}

// smtpEdge serves the rows mx, submission and lmtp: one engine, three roles.
type smtpEdge struct {
	s   *smtp.Server
	tls *tls.Config
}

var roles = map[string]policy.Role{"mx": policy.MX, "submission": policy.Submission, "lmtp": policy.LMTP}

func (e smtpEdge) Serve(ctx context.Context, l net.Listener, row schema.Listener) error {
	return e.s.Serve(ctx, l, smtp.ListenerOptions{Role: roles[row.Protocol], TLS: smtp.TLSMode(row.TLS), TLSConfig: e.tls,
		Hostname: row.Hostname, Tag: row.Tag, Auth: smtp.AuthMode(row.Auth), Names: screenNames(row)})
}

func (e smtpEdge) Shutdown(ctx context.Context) error { return e.s.Shutdown(ctx) }

// imapEdge serves the rows imap.
type imapEdge struct{ s *imap.Server }

// readModes are the modes of TLS of rows imap and pop3.
var readModes = map[string]login.TLSMode{"none": login.TLSNone, "may": login.TLSMay, "encrypt": login.TLSEncrypt, "wrapper": login.TLSWrapper}

func (e imapEdge) Serve(ctx context.Context, l net.Listener, row schema.Listener) error {
	return e.s.Serve(ctx, l, login.Options{TLS: readModes[row.TLS], Hostname: row.Hostname})
}

func (e imapEdge) Shutdown(ctx context.Context) error { return e.s.Shutdown(ctx) }

// pop3Edge serves the rows pop3.
type pop3Edge struct{ s *pop3.Server }

func (e pop3Edge) Serve(ctx context.Context, l net.Listener, row schema.Listener) error {
	return e.s.Serve(ctx, l, login.Options{TLS: readModes[row.TLS], Hostname: row.Hostname})
}

func (e pop3Edge) Shutdown(ctx context.Context) error { return e.s.Shutdown(ctx) }
