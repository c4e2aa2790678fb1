package test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// hashWord is the password of all users of TestFreshHashes.
const hashWord = "pä$$ wörd:€"

// freshHash is a program that stores a password. Its last line of output, after
// cut, is what is stored, with more before it.
type freshHash struct {
	stdin, cut, more string
	command          []string
}

// freshHashes are the ways in which databases have come to their passwords.
func freshHashes(user string) []freshHash {
	var list []freshHash
	for _, scheme := range strings.Fields("PLAIN CLEARTEXT CRYPT BLF-CRYPT SHA512-CRYPT SHA256-CRYPT MD5-CRYPT MD5 DES-CRYPT ARGON2I ARGON2ID " +
		"SSHA512 SSHA256 SSHA SHA SHA1 SHA256 SHA512 SMD5 PLAIN-MD5 PLAIN-MD4 LDAP-MD5 PBKDF2 SCRAM-SHA-1 SCRAM-SHA-256 CRAM-MD5 HMAC-MD5 " +
		"SSHA512.HEX SHA256.B64 PLAIN-MD5.B64 CRAM-MD5.B64 SHA512-CRYPT.B64 PLAIN.HEX SCRAM-SHA-256.B64") {
		list = append(list, freshHash{"", "", "", []string{"doveadm", "-c", "/dev/null", "pw", "-s", scheme, "-p", hashWord}})
	}
	list = append(list, freshHash{"", "", "", []string{"doveadm", "-c", "/dev/null", "pw", "-s", "DIGEST-MD5", "-u", user, "-p", hashWord}})
	for _, id := range []string{"-1", "-5", "-6", "-apr1"} {
		list = append(list, freshHash{"", "", "", []string{"openssl", "passwd", id, hashWord}})
	}
	list = append(list, freshHash{hashWord, "MD5(stdin)= ", "{PLAIN-MD5}", []string{"openssl", "dgst", "-md5"}})
	for _, method := range strings.Fields("yescrypt scrypt bcrypt sha512crypt sha256crypt md5crypt descrypt") {
		list = append(list, freshHash{hashWord + "\n", "", "", []string{"mkpasswd", "-s", "-m", method}})
	}
	for _, kind := range []string{"B", "m", "s", "2", "5", "d"} {
		list = append(list, freshHash{"", "u:", "", []string{"htpasswd", "-nb" + kind, "u", hashWord}})
	}
	for _, algorithm := range []string{"DEFAULT", "ARGON2I", "ARGON2ID"} {
		list = append(list, freshHash{"", "", "", []string{"php", "-r", "echo password_hash($argv[1], PASSWORD_" + algorithm + ");", "--", hashWord}})
	}
	for _, code := range []string{
		`import crypt; print(crypt.crypt(w.decode(), crypt.METHOD_SHA512))`,
		`import crypt; print(crypt.crypt(w.decode(), crypt.METHOD_BLOWFISH))`,
		`print("{SHA512}" + b(hashlib.sha512(w).digest()))`,
		`s = os.urandom(9); print("{SSHA512}" + b(hashlib.sha512(w + s).digest() + s))`,
		`s = os.urandom(16); print("{PBKDF2}$1$%s$20000$%s" % (s.hex(), hashlib.pbkdf2_hmac("sha1", w, s.hex().encode(), 20000).hex()))`,
		`s = os.urandom(16); k = hashlib.pbkdf2_hmac("sha256", w, s, 8000)
m = lambda t: hmac.new(k, t, "sha256").digest()
print("{SCRAM-SHA-256}8000,%s,%s,%s" % (b(s), b(hashlib.sha256(m(b"Client Key")).digest()), b(m(b"Server Key"))))`,
	} {
		code = "import base64, hashlib, hmac, os, sys\nw = sys.argv[1].encode()\nb = lambda d: base64.b64encode(d).decode()\n" + code
		list = append(list, freshHash{"", "", "", []string{"python3", "-W", "ignore", "-c", code, hashWord}})
	}
	return list
}

// TestFreshHashes has other programs hash a password, and logs in with it, and
// with others, in every protocol.
func TestFreshHashes(t *testing.T) {
	for _, p := range []string{"doveadm", "openssl", "mkpasswd", "htpasswd", "php", "python3"} {
		need(t, p)
	}
	h := sampleHost(t, "")
	h.mustRun("config", "set", "auth_cache_size=0", "auth_throttle=no", "imap_client_limit=0", "smtpd_client_connection_rate_limit=0")
	users := make(map[string]string) // to what was stored
	var rows strings.Builder
	for i, f := range freshHashes("x") {
		user := fmt.Sprintf("h%d@vmail.example", i)
		f = freshHashes(user)[i]
		said := strings.TrimSpace(mustOutside(t, f.stdin, f.command[0], f.command[1:]...))
		stored := strings.TrimPrefix(said[strings.LastIndexByte(said, '\n')+1:], f.cut)
		users[user] = f.more + stored
		fmt.Fprintf(&rows, "INSERT INTO Address (addLocalpart, addDomNum) SELECT 'h%d', domNum FROM Domain WHERE domName = 'vmail.example';"+
			"INSERT INTO VMailbox (vmNum, vmPasswd) VALUES (last_insert_rowid(), '%s');\n", i, f.more+stored)
	}
	h.sql(rows.String())
	h.start()
	for user, stored := range users {
		des := len(stored[strings.IndexByte(stored, '}')+1:]) == 13 // reads 8 bytes
		for _, try := range []struct {
			port     int
			password string
			want     bool
		}{{993, hashWord, true}, {465, hashWord, true}, {995, hashWord, true}, {993, hashWord + "x", des}, {465, hashWord[1:], false}, {995, hashWord[1:], false}, {993, stored, false}, {995, stored, false}} {
			if got, line := passwordOver(t, h, try.port, user, try.password); got != try.want {
				t.Errorf("port %d: %q logs in with %q, %v: %s\n%s", try.port, try.password, stored, got, line, h.log.tail(2))
			}
		}
	}
}

// passwordOver logs in by IMAP LOGIN, POP3 PASS, or SMTP AUTH PLAIN.
func passwordOver(t *testing.T, h *host, port int, user, password string) (ok bool, last string) {
	t.Helper()
	conn, err := tls.Dial("tcp", h.addr(port), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(conn)
	in.ReadString('\n')
	if port == 993 {
		fmt.Fprintf(conn, "a LOGIN {%d+}\r\n%s {%d+}\r\n%s\r\n", len(user), user, len(password), password)
		last = untilTag(t, in, "a ")
		if !strings.HasPrefix(last, "a OK") && !strings.HasPrefix(last, "a NO [AUTHENTICATIONFAILED]") {
			t.Errorf("%s: %s", user, last)
		}
		return strings.HasPrefix(last, "a OK"), last
	}
	if port == 995 {
		fmt.Fprintf(conn, "USER %s\r\nPASS %s\r\n", user, password)
		in.ReadString('\n')
		if last, err = in.ReadString('\n'); err != nil || !strings.HasPrefix(last, "+OK") && !strings.HasPrefix(last, "-ERR [AUTH]") {
			t.Errorf("%s: %q, %v\n%s", user, last, err, h.log.tail(3))
		}
		return strings.HasPrefix(last, "+OK"), last
	}
	fmt.Fprint(conn, "EHLO c.example\r\n")
	untilTag(t, in, "250 ")
	fmt.Fprintf(conn, "AUTH PLAIN %s\r\n", base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)))
	if last, err = in.ReadString('\n'); err != nil || last[:4] != "235 " && last[:4] != "535 " {
		t.Errorf("%s: %q, %v\n%s", user, last, err, h.log.tail(3))
	}
	return strings.HasPrefix(last, "235 "), last
}

func untilTag(t *testing.T, in *bufio.Reader, tag string) string {
	t.Helper()
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err, line)
		}
		if strings.HasPrefix(line, tag) {
			return strings.TrimSpace(line)
		}
	}
}
