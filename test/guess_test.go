package test

import (
	"bufio"
	"crypto/pbkdf2"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// loginLimit is how long a log-in of a known user may take beside guesses. Where
// the machine is busy with other tests, it is measured by some work of our own.
const loginLimit = 200 * time.Millisecond

// flood is how the guessers of TestGuessers come, and what they find.
type flood struct {
	name   string
	scheme string
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
	for _, user := range []string{"ann", "joe"} {
		if out, err := h.run(user+"s-secret", "mailbox", "set", user+"@vmail.example", "--password-stdin", "--scheme", f.scheme); err != nil {
			t.Fatal(out)
		}
	}
	h.start()
	login := func(from, user, password string, end time.Time) (string, time.Duration, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
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
		line, d, err := login("127.0.0.1", "ann@vmail.example", "anns-secret", time.Now().Add(20*time.Second))
		if err != nil || !strings.HasPrefix(line, "a OK") {
			t.Fatalf("the owner: %s, %v\n%s", line, err, h.log.tail(5))
		}
		return d
	}
	if line, _, err := login("127.0.0.1", "joe@vmail.example", "joes-secret", time.Now().Add(20*time.Second)); err != nil || !strings.HasPrefix(line, "a OK") {
		t.Fatal(line, err)
	}
	known()
	alone := known()
	memory, cpu := h.resident(), h.cpu()
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
	line, stranger, err := login("127.200.0.1", "joe@vmail.example", "joes-secret", time.Now().Add(20*time.Second))
	wg.Wait()
	slices.Sort(took)
	slices.Sort(work)
	p99 := took[len(took)*99/100]
	limit := max(loginLimit, 3*work[len(work)*99/100])
	t.Logf("%d log-ins beside %d guesses, %d looked at: alone %v, median %v, 99%% %v, longest %v; one from a new place %v; CPU %.0f%% of one processor; memory %+d KiB",
		len(took), guesses.Load(), looked.Load(), alone, took[len(took)/2], p99, took[len(took)-1], stranger, share, grown)
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
