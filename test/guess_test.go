package test

import (
	"bufio"
	"crypto/pbkdf2"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailserver/internal/control"
)

// loginLimit is how long a log-in of a known user may take beside guesses. Where
// the machine is busy with other tests, it is measured by some work of our own.
const loginLimit = 200 * time.Millisecond

// flood is how the guessers of TestGuessers come, and what they find.
type flood struct {
	name   string
	scheme string                                  // "doveadm X": X as doveadm makes it
	cache  string                                  // auth_cache_size
	from   func(client, n int) (addr, user string) // of guess n of a client
	long   bool                                    // only with MAILSERVER_LONG=1
}

// ownAddress is a client that keeps its address, and guesses at one account.
func ownAddress(client, _ int) (string, string) {
	return fmt.Sprintf("127.7.%d.1", client), "ann@vmail.example"
}

// anyAddress never comes from an address, or for an account, twice: nothing
// that counts guesses by one of these holds it off.
func anyAddress(client, n int) (string, string) {
	return fmt.Sprintf("127.%d.%d.%d", 10+client, n/250, 1+n%250), fmt.Sprintf("user%d.%d@vmail.example", client, n)
}

// oneAddress has all clients come from one.
func oneAddress(client, n int) (string, string) {
	return "127.7.7.7", fmt.Sprintf("user%d.%d@vmail.example", client, n)
}

func floods() []flood {
	return []flood{
		{"an account from many addresses", "BLF-CRYPT", "1M", ownAddress, false},
		{"ever other addresses, no cache", "BLF-CRYPT", "0", anyAddress, false},
		{"ever other addresses, Argon2, no cache", "ARGON2ID", "0", anyAddress, false},
		{"an account from many addresses, no cache", "BLF-CRYPT", "0", ownAddress, true},
		{"one address, no cache", "BLF-CRYPT", "0", oneAddress, true},
		{"ever other addresses", "BLF-CRYPT", "1M", anyAddress, true},
		{"ever other addresses, Argon2", "ARGON2ID", "1M", anyAddress, true},
		{"ever other addresses, SHA512, no cache", "SHA512-CRYPT", "0", anyAddress, true},
		{"one address, Argon2, no cache", "ARGON2ID", "0", oneAddress, true},
		{"ever other addresses, Argon2 of 64 MiB, no cache", "doveadm ARGON2ID", "0", anyAddress, true},
	}
}

// TestGuessers has 50 clients guess as fast as they can, for a minute with
// MAILSERVER_LONG=1, while a user who has been there before logs in again and
// again, and one who has not logs in at last.
func TestGuessers(t *testing.T) {
	long := os.Getenv("MAILSERVER_LONG") == "1"
	length := 3 * time.Second
	if long {
		length = time.Minute
	}
	for _, f := range floods() {
		if f.long && !long {
			continue
		}
		t.Run(f.name, func(t *testing.T) { f.run(t, length) })
	}
}

func (f flood) run(t *testing.T, length time.Duration) {
	h := sampleHost(t, "")
	h.mustRun("config", "set", "auth_throttle_exempt=192.0.2.0/24", "disable_plaintext_auth=no", "auth_cache_size="+f.cache)
	h.mustRun("config", "unset", "auth_failure_delay") // who is refused waits, as he does on every server
	f.passwords(t, h)
	h.start()
	login := func(from, user, password string, end time.Time) (string, time.Duration, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
		conn, err := d.Dial("tcp", h.addr(143))
		if err != nil {
			return "", 0, err
		}
		defer conn.Close()
		conn.SetDeadline(end)
		in := bufio.NewReader(conn)
		in.ReadString('\n')
		start := time.Now()
		fmt.Fprintf(conn, "a LOGIN %s %s\r\n", user, password)
		for {
			line, err := in.ReadString('\n')
			if err != nil || strings.HasPrefix(line, "a ") {
				return strings.TrimSpace(line), time.Since(start), err
			}
		}
	}
	known := func() time.Duration {
		line, d, err := login("127.0.0.1", "ann@vmail.example", "anns-secret", time.Now().Add(patience))
		if err != nil || !strings.HasPrefix(line, "a OK") {
			t.Fatalf("the owner: %s, %v\n%s", line, err, h.log.tail(5))
		}
		return d
	}
	if line, _, err := login("127.0.0.1", "joe@vmail.example", "joes-secret", time.Now().Add(patience)); err != nil || !strings.HasPrefix(line, "a OK") {
		t.Fatal(line, err)
	}
	known()
	alone := known()
	memory, cpu, before := h.resident(), h.cpu(), h.hashes(t)
	begin := time.Now()
	var guesses, looked atomic.Int64
	end := time.Now().Add(length)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for n := 0; time.Now().Before(end); n++ {
				addr, user := f.from(i, n)
				line, _, _ := login(addr, user, fmt.Sprintf("guess-%d-%d", i, n), end.Add(time.Second))
				guesses.Add(1)
				if strings.Contains(line, "AUTHENTICATIONFAILED") {
					looked.Add(1)
				}
			}
		})
	}
	var took, work []time.Duration
	for time.Now().Before(end.Add(-time.Second)) {
		took = append(took, known())
		start := time.Now()
		pbkdf2.Key(sha256.New, "the machine as it is", []byte("salt"), 100_000, 32)
		work = append(work, time.Since(start))
	}
	cpu = h.cpu() - cpu
	share := 100 * float64(cpu) / float64(time.Since(begin))
	grown := h.resident() - memory
	after, span := h.hashes(t), time.Since(begin)
	line, stranger, err := login("127.200.0.1", "joe@vmail.example", "joes-secret", time.Now().Add(patience))
	wg.Wait()
	slices.Sort(took)
	slices.Sort(work)
	p99 := took[len(took)*99/100]
	limit := max(loginLimit, 3*work[len(work)*99/100])
	if strings.HasPrefix(f.scheme, "doveadm ") {
		// One such hash takes longer by itself, and waits for that of a guess:
		// auth_hash_memory has room for one.
		limit = max(limit, 3*alone)
	}
	t.Logf("%d log-ins beside %d guesses, %d looked at: alone %v, median %v, 99%% %v, longest %v; one from a new place %v; CPU %.0f%% of one processor; memory %+d KiB; "+
		"%.0f hashes for guesses, %.0f%% of one processor; some work of our own: median %v, 99%% %v",
		len(took), guesses.Load(), looked.Load(), alone, took[len(took)/2], p99, took[len(took)-1], stranger, share, grown,
		after.strangers-before.strangers, 100*(after.guessing-before.guessing).Seconds()/span.Seconds(), work[len(work)/2], work[len(work)*99/100])
	f.counts(t, before, after, len(took), guesses.Load(), span, max(time.Second, 4*took[len(took)-1]))
	if p99 > limit && os.Getenv("MAILSERVER_LONG") == "1" { // beside other tests it says nothing
		t.Errorf("a log-in takes %v, %v of work %v", p99, alone, work[len(work)*99/100])
	}
	if err != nil || !strings.HasPrefix(line, "a OK") && !strings.Contains(line, "UNAVAILABLE") {
		t.Errorf("a user from a new place: %s, %v", line, err)
	}
	if grown > 24<<10 {
		t.Errorf("memory has grown by %d KiB", grown)
	}
}

// passwords of ann and joe, by the scheme of the flood.
func (f flood) passwords(t *testing.T, h *host) {
	for _, user := range []string{"ann", "joe"} {
		password := user + "s-secret"
		if scheme, by := strings.CutPrefix(f.scheme, "doveadm "); by {
			stored := strings.TrimSpace(mustOutside(t, "", "doveadm", "pw", "-s", scheme, "-p", password))
			h.sql(fmt.Sprintf("UPDATE VMailbox SET vmPasswd = '%s' WHERE vmNum = (SELECT addNum FROM Address WHERE addLocalpart = '%s')", stored, user))
		} else if out, err := h.run(password, "mailbox", "set", user+"@vmail.example", "--password-stdin", "--scheme", scheme); err != nil {
			t.Fatal(out)
		}
	}
}

// counts holds what was hashed to the rules, whatever else the machine does:
// once for each log-in of the owner that is not remembered, for guesses no more
// than their share and the last hash, which takes less than slack.
func (f flood) counts(t *testing.T, before, after hashes, logins int, guesses int64, span, slack time.Duration) {
	owner := after.known - before.known
	if want := float64(logins); f.cache == "0" && owner != want || f.cache != "0" && owner > 1 {
		t.Errorf("%d log-ins of the owner took %v hashes", logins, owner)
	}
	if n := after.strangers - before.strangers; n > float64(guesses) {
		t.Errorf("%d guesses took %v hashes", guesses, n)
	}
	const share, burst = 50, time.Second // auth_guess_cpu
	if took, most := after.guessing-before.guessing, span*share/100+burst+slack; took > most {
		t.Errorf("guesses had %v of the processor, in %v", took, span)
	}
}

// hashes is what the server has computed to verify passwords.
type hashes struct {
	known, strangers float64
	guessing         time.Duration
}

func (h *host) hashes(t *testing.T) (n hashes) {
	t.Helper()
	var seconds float64
	want := map[string]*float64{`mailserver_password_hashes_total{client="known"}`: &n.known,
		`mailserver_password_hashes_total{client="stranger"}`: &n.strangers, "mailserver_password_guess_seconds_total": &seconds}
	found := 0
	for line := range strings.Lines(h.metrics(t)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if to := want[name]; to != nil {
			fmt.Sscan(value, to)
			found++
		}
	}
	if found != len(want) {
		t.Fatal("figures of hashes are missing")
	}
	n.guessing = time.Duration(seconds * float64(time.Second))
	return n
}

// metrics is what a monitor reads, by the socket of the commands.
func (h *host) metrics(t *testing.T) string {
	t.Helper()
	conn, err := net.Dial("unix", control.Socket(h.dir))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /metrics HTTP/1.0\r\n\r\n")
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
