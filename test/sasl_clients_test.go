package test

import (
	"bufio"
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// scramClient is the client of github.com/xdg-go/scram in the shape of go-sasl.
type scramClient struct {
	name string
	conv *scram.ClientConversation
}

func (c *scramClient) Start() (string, []byte, error) {
	first, err := c.conv.Step("")
	return c.name, []byte(first), err
}

func (c *scramClient) Next(challenge []byte) ([]byte, error) {
	answer, err := c.conv.Step(string(challenge))
	return []byte(answer), err
}

// cramClient is CRAM-MD5, RFC 2195.
type cramClient struct{ user, password string }

func (c *cramClient) Start() (string, []byte, error) { return "CRAM-MD5", nil, nil }

func (c *cramClient) Next(challenge []byte) ([]byte, error) {
	m := hmac.New(md5.New, []byte(c.password))
	m.Write(challenge)
	return []byte(c.user + " " + hex.EncodeToString(m.Sum(nil))), nil
}

// xoauth2Client is XOAUTH2.
type xoauth2Client struct{ user, token string }

func (c *xoauth2Client) Start() (string, []byte, error) {
	return "XOAUTH2", []byte("user=" + c.user + "\x01auth=Bearer " + c.token + "\x01\x01"), nil
}

func (c *xoauth2Client) Next([]byte) ([]byte, error) { return []byte{}, nil }

// saslDial connects to a port, and makes TLS of a plain one by STARTTLS.
func saslDial(t *testing.T, h *host, port int, conf *tls.Config) *tls.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", h.addr(port))
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(patience))
	if start := map[int]string{143: "s STARTTLS\r\n", 110: "STLS\r\n", 587: "EHLO c.example\r\nSTARTTLS\r\n"}[port]; start != "" {
		in := bufio.NewReader(nc)
		in.ReadString('\n')
		for line := range strings.Lines(start) {
			fmt.Fprint(nc, line)
			for {
				got, err := in.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(got, "s OK") || strings.HasPrefix(got, "+OK") || len(got) > 3 && got[3] == ' ' {
					break
				}
			}
		}
	}
	return tls.Client(nc, conf)
}

// saslOver runs the exchange of a client in the protocol of the port, and
// returns the last line of the server.
func saslOver(t *testing.T, conn net.Conn, port int, client sasl.Client) string {
	t.Helper()
	in := bufio.NewReader(conn)
	b64 := base64.StdEncoding
	line := func() string {
		text, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("port %d: %v", port, err)
		}
		return strings.TrimSpace(text)
	}
	name, initial, err := client.Start()
	if err != nil {
		t.Fatal(err)
	}
	verb := map[int]string{993: "a AUTHENTICATE", 143: "a AUTHENTICATE", 995: "AUTH", 110: "AUTH", 465: "AUTH", 587: "AUTH"}[port]
	if port == 993 || port == 995 || port == 465 {
		line() // the greeting
	}
	if port == 465 || port == 587 {
		fmt.Fprintf(conn, "EHLO c.example\r\n")
		for !strings.HasPrefix(line(), "250 ") {
		}
	}
	fmt.Fprintf(conn, "%s %s", verb, name)
	switch {
	case initial != nil && len(initial) == 0:
		fmt.Fprint(conn, " =")
	case initial != nil:
		fmt.Fprint(conn, " ", b64.EncodeToString(initial))
	}
	fmt.Fprint(conn, "\r\n")
	for range 6 {
		got := line()
		text, ok := strings.CutPrefix(got, "334 ")
		if !ok {
			if text, ok = strings.CutPrefix(got, "+"); !ok || strings.HasPrefix(got, "+OK") {
				return got
			}
		}
		challenge, err := b64.DecodeString(strings.TrimSpace(text))
		if err != nil {
			t.Fatal(got)
		}
		answer, err := client.Next(challenge)
		if err != nil {
			return "the client gives up: " + err.Error()
		}
		fmt.Fprintf(conn, "%s\r\n", b64.EncodeToString(answer))
	}
	return line()
}

func isLoggedIn(line string) bool {
	return strings.HasPrefix(line, "235 ") || strings.HasPrefix(line, "a OK") || strings.HasPrefix(line, "+OK")
}

// saslPorts are those of all protocols, with TLS from the start or later.
var saslPorts = []int{993, 143, 465, 587, 995, 110}

// TestSASLClients logs in by the clients of go-sasl and of xdg-go/scram with
// every mechanism, in every protocol.
func TestSASLClients(t *testing.T) {
	t.Parallel()
	h := authHost(t)
	tokens := tokenServer(t)
	caFile, certFile, keyFile := clientCertificate(t, "plain@vmail.example")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	h.mustRun("config", "set", "ssl_client_ca_file="+caFile, "auth_throttle=no", "oauth2_introspection_mode=post", "oauth2_introspection_url="+tokens.URL,
		"auth_mechanisms=scram-sha-256-plus scram-sha-256 scram-sha-1-plus scram-sha-1 external oauthbearer xoauth2 cram-md5 plain login")
	h.start()
	user := func(name string) string { return name + "@vmail.example" }
	clients := map[string]func(st *tls.ConnectionState, secret string) sasl.Client{
		"PLAIN": func(_ *tls.ConnectionState, s string) sasl.Client {
			return sasl.NewPlainClient("", user("cram-md5"), s)
		},
		"LOGIN":    func(_ *tls.ConnectionState, s string) sasl.Client { return sasl.NewLoginClient(user("scram-sha-1"), s) },
		"CRAM-MD5": func(_ *tls.ConnectionState, s string) sasl.Client { return &cramClient{user("cram-md5"), s} },
		"OAUTHBEARER": func(_ *tls.ConnectionState, s string) sasl.Client {
			return sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: user("plain"), Token: tokenOf(s)})
		},
		"XOAUTH2": func(_ *tls.ConnectionState, s string) sasl.Client { return &xoauth2Client{user("plain"), tokenOf(s)} },
		"EXTERNAL": func(_ *tls.ConnectionState, s string) sasl.Client {
			if s == saslSecret {
				return sasl.NewExternalClient("")
			}
			return sasl.NewExternalClient(user("joe"))
		},
	}
	for name, kind := range map[string]struct {
		sum scram.HashGeneratorFcn
		who string
	}{"SCRAM-SHA-1": {scram.SHA1, "scram-sha-1"}, "SCRAM-SHA-256": {scram.SHA256, "scram-sha-256"}} {
		clients[name] = func(_ *tls.ConnectionState, s string) sasl.Client {
			return &scramClient{name, must(kind.sum.NewClient(user(kind.who), s, "")).NewConversation()}
		}
		clients[name+"-PLUS"] = func(st *tls.ConnectionState, s string) sasl.Client {
			cb := scram.ChannelBinding{Type: "tls-exporter", Data: must(st.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32))}
			return &scramClient{name + "-PLUS", must(kind.sum.NewClient(user(kind.who), s, "")).NewConversationWithChannelBinding(cb)}
		}
	}
	for name, make := range clients {
		for _, port := range saslPorts {
			for _, secret := range []string{saslSecret, "wrong"} {
				conf := &tls.Config{InsecureSkipVerify: true}
				if name == "EXTERNAL" {
					conf.Certificates = []tls.Certificate{pair}
				}
				conn := saslDial(t, h, port, conf)
				if err := conn.Handshake(); err != nil {
					t.Fatal(err)
				}
				st := conn.ConnectionState()
				if got := saslOver(t, conn, port, make(&st, secret)); isLoggedIn(got) != (secret == saslSecret) {
					t.Errorf("%s, port %d, %s: %s\n%s", name, port, secret, got, h.log.tail(3))
				}
				conn.Close()
			}
		}
	}
	tokens.Close()
	for _, port := range saslPorts {
		conn := saslDial(t, h, port, &tls.Config{InsecureSkipVerify: true})
		got := saslOver(t, conn, port, &xoauth2Client{user("plain"), "another"})
		if !strings.HasPrefix(got, "454 4.7.0") && !strings.Contains(got, "[UNAVAILABLE]") && !strings.Contains(got, "[SYS/TEMP]") {
			t.Errorf("port %d, without the authority: %s", port, got)
		}
		conn.Close()
	}
}

// saslSecret is the password of the users of authHost.
const saslSecret = "pä wörd"

func tokenOf(secret string) string {
	if secret == saslSecret {
		return "good"
	}
	return "bad"
}

// tokenServer knows that the token "good" is plain@vmail.example's.
func tokenServer(t *testing.T) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("token") == "good" {
			fmt.Fprint(w, `{"active":true,"email":"plain@vmail.example"}`)
		} else {
			fmt.Fprint(w, `{"active":false}`)
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestChannelBinding logs in by SCRAM-SHA-256-PLUS with bindings of this
// connection, with altered ones, and as a client from which somebody has hidden
// that bindings are offered.
func TestChannelBinding(t *testing.T) {
	t.Parallel()
	h := authHost(t)
	h.mustRun("config", "set", "auth_throttle=no")
	h.start()
	for _, port := range saslPorts {
		for _, kind := range []string{"tls-exporter", "tls-server-end-point", "tls-unique", "altered", "altered end point", "stripped"} {
			conf := &tls.Config{InsecureSkipVerify: true}
			if kind == "tls-unique" {
				conf.MaxVersion = tls.VersionTLS12
			}
			conn := saslDial(t, h, port, conf)
			if err := conn.Handshake(); err != nil {
				t.Fatal(err)
			}
			st := conn.ConnectionState()
			cb := scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter}
			switch kind {
			case "tls-server-end-point", "altered end point":
				cb = must(scram.NewTLSServerEndpointBinding(&st))
			case "tls-unique":
				cb = scram.ChannelBinding{Type: scram.ChannelBindingTLSUnique, Data: st.TLSUnique}
			default:
				cb.Data = must(st.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32))
			}
			if strings.HasPrefix(kind, "altered") {
				cb.Data = append([]byte{cb.Data[0] ^ 0x80}, cb.Data[1:]...)
			}
			client := must(scram.SHA256.NewClient("scram-sha-256@vmail.example", saslSecret, ""))
			c := &scramClient{"SCRAM-SHA-256-PLUS", client.NewConversationWithChannelBinding(cb)}
			if kind == "stripped" { // says "y": it could, and was not offered it
				c = &scramClient{"SCRAM-SHA-256", client.NewConversationAdvertisingChannelBinding()}
			}
			good := kind == "tls-exporter" || kind == "tls-server-end-point" || kind == "tls-unique"
			if last := saslOver(t, conn, port, c); isLoggedIn(last) != good {
				t.Errorf("port %d, %s: %s\n%s", port, kind, last, h.log.tail(3))
			}
			conn.Close()
		}
	}
}

// TestOAuthOfPrograms logs in by tokens with curl and Python.
func TestOAuthOfPrograms(t *testing.T) {
	t.Parallel()
	h := authHost(t)
	tokens := tokenServer(t)
	h.mustRun("config", "set", "oauth2_introspection_mode=post", "oauth2_introspection_url="+tokens.URL, "auth_mechanisms=plain oauthbearer xoauth2", "auth_throttle=no")
	h.start()
	for _, mechanism := range []string{"OAUTHBEARER", "XOAUTH2"} {
		for _, url := range []string{"imaps://" + h.addr(993) + "/", "imap://" + h.addr(143) + "/", "smtps://" + h.addr(465), "smtp://" + h.addr(587), "pop3s://" + h.addr(995) + "/", "pop3://" + h.addr(110) + "/"} {
			for token, want := range map[string]bool{"good": true, "bad": false} {
				args := []string{"-sS", "-k", "--ssl-reqd", "--login-options", "AUTH=" + mechanism, "--user", "plain@vmail.example", "--oauth2-bearer", token, url}
				if strings.HasPrefix(url, "smtp") {
					args = append(args, "--mail-from", "plain@vmail.example", "--mail-rcpt", "joe@vmail.example", "--upload-file", smallMail(t))
				}
				if out, err := outside(t, "", "curl", args...); (err == nil) != want {
					t.Errorf("%s %s %s: %v %s\n%s", mechanism, url, token, err, out, h.log.tail(3))
				}
			}
		}
	}
	out, err := outside(t, "", "python3", "-c", fmt.Sprintf(`
import imaplib, poplib, smtplib, ssl, base64
c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
def said(token): return "user=plain@vmail.example\x01auth=Bearer " + token + "\x01\x01"
m = imaplib.IMAP4_SSL("127.0.0.1", %d, ssl_context=c)
try:
    m.authenticate("XOAUTH2", lambda ch: said("bad").encode() if not ch else b"")
    raise SystemExit("a bad token")
except imaplib.IMAP4.error as e:
    print(e)
m.authenticate("XOAUTH2", lambda ch: said("good").encode())
m.select("INBOX")
s = smtplib.SMTP_SSL("127.0.0.1", %d, context=c); s.ehlo()
try:
    s.auth("XOAUTH2", lambda ch=None: said("bad") if not ch else "")
    raise SystemExit("a bad token")
except smtplib.SMTPAuthenticationError as e:
    print(e)
print(s.auth("XOAUTH2", lambda ch=None: said("good")), "all well")`, h.base+993, h.base+465))
	if err != nil || !strings.Contains(out, "all well") {
		t.Errorf("python: %v\n%s", err, out)
	}
	h.check()
}
