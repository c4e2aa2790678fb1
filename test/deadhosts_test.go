package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailserver/delivery/remote/remotetest"
	"mailserver/internal/testport"
	"mailserver/schema"
)

// long reports whether the acceptance runs are to be done in full.
func long() bool { return os.Getenv("MAILSERVER_LONG") == "1" }

// deadHosts is a server with a queue full of mail for hosts that are dead in
// three ways and for some that answer.
type deadHosts struct {
	*host
	t        *testing.T
	live     *remotetest.Sink
	messages int
	dead     int
	later    time.Duration // when they are due

	ports []int // of the dead hosts, by turns

	mu      sync.Mutex
	arrived map[string]time.Time // by recipient
}

const liveHosts = 10

// deadTime is how long a dead host holds up who waits for it, at least:
// postconf(5) smtp_connect_timeout. It is the measure where a busy machine's
// seconds say nothing.
const deadTime = 30 * time.Second

// TestDeadHostsHoldUpNobody: deferred mail for hosts that refuse connections,
// never answer them or never greet, all of it due, beside hosts that answer.
// New mail goes out at once, deferred mail for live hosts soon, memory is
// bounded, and the server starts at once on it.
func TestDeadHostsHoldUpNobody(t *testing.T) {
	d := &deadHosts{t: t, messages: 3000, dead: 90, arrived: make(map[string]time.Time)}
	if long() {
		d.messages, d.dead = 100_000, 1000
	}
	d.setUp()

	d.start()
	d.intake("warm", 200)
	idle := d.resident()
	d.stop()
	d.fill()

	begun := time.Now()
	d.start()
	ready, worked := time.Since(begun), d.cpu()
	t.Logf("ready %v after the start on %d messages for %d dead and %d live hosts, with %v of the processor", ready.Round(time.Millisecond), d.messages, d.dead, liveHosts, worked)
	if worked > 10*time.Second || ready > deadTime {
		t.Errorf("ready after %v, %v of the processor", ready, worked)
	}
	d.forgetPeak()
	d.newMail()
	d.deferredMail(begun)
	if grown := d.peak() - idle; grown > 80<<10 {
		t.Errorf("memory has grown by %d KiB", grown)
	}
	t.Logf("memory %d KiB before, %d at most", idle, d.peak())
	d.stop()
}

func (d *deadHosts) setUp() {
	t := d.t
	d.host = sampleHost(t, "")
	d.live = &remotetest.Sink{Exts: []string{"PIPELINING", "8BITMIME"}, Answer: func(line string) string {
		if to, ok := strings.CutPrefix(line, "RCPT TO:<"); ok {
			to, _, _ = strings.Cut(to, ">")
			d.mu.Lock()
			d.arrived[to] = time.Now()
			d.mu.Unlock()
		}
		return ""
	}}
	if err := d.live.Start("tcp", "0.0.0.0:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.live.Stop)
	d.ports = []int{refusing(t), silent(t), deaf(t)}
	var sql strings.Builder
	for i := range d.dead {
		fmt.Fprintf(&sql, "INSERT INTO Transport (tpNum, tpTransport, tpNexthop, tpMx, tpPort) VALUES (%d, 'smtp', '%s', 0, %d);"+
			"INSERT INTO Domain (domName, domClass, domTpNum) VALUES ('dead%d.example', 0, %[1]d);", 5000+i, deadAddress(i), d.ports[i%3], i)
	}
	for i := range liveHosts {
		fmt.Fprintf(&sql, "INSERT INTO Transport (tpNum, tpTransport, tpNexthop, tpMx, tpPort) VALUES (%d, 'smtp', '127.3.0.%d', 0, %d);"+
			"INSERT INTO Domain (domName, domClass, domTpNum) VALUES ('live%[4]d.example', 0, %[1]d);", 9000+i, i+1, d.live.Port(), i)
	}
	d.sql("BEGIN;" + sql.String() + "COMMIT;")
}

func deadAddress(i int) string { return fmt.Sprintf("127.1.%d.%d", i/250, i%250+1) }

// refusing is a port where nothing listens, and no other test either.
func refusing(t *testing.T) int { return testport.Base(t, 0) }

// silent takes connections and never says a word.
func silent(t *testing.T) int {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.Map
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, true)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
	})
	return l.Addr().(*net.TCPAddr).Port
}

// deaf is a port that does not answer connections: its backlog is full.
func deaf(t *testing.T) int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		t.Cleanup(func() { syscall.Close(fd) })
		err = syscall.Bind(fd, &syscall.SockaddrInet4{})
	}
	if err == nil {
		err = syscall.Listen(fd, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := name.(*syscall.SockaddrInet4).Port
	for range 5 {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 200*time.Millisecond)
		if err != nil {
			return port
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("a port with a full backlog takes connections")
	return 0
}

// fill writes the deferred messages as the server does: one in a hundred goes
// to a live host.
func (d *deadHosts) fill() {
	ctx := context.Background()
	state, err := schema.OpenState(ctx, filepath.Join(d.dir, "state.sqlite"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer state.Close()
	text := message("deferred", "deferred", strings.Repeat(strings.Repeat("d", 70)+"\r\n", 10))
	now := time.Now()
	order := rand.Perm(d.messages)
	for at := 0; at < d.messages; at += 1000 {
		err := state.Write(ctx, func(tx *schema.Tx) error {
			for n := at; n < min(at+1000, d.messages); n++ {
				i := order[n]
				id, host := queueID(now.Add(time.Duration(n-d.messages)*time.Millisecond)), i%d.dead
				domain, site := fmt.Sprintf("dead%d.example", host), fmt.Sprintf("smtp:[%s]:%d", deadAddress(host), d.ports[host%3])
				if i%100 == 0 {
					host = i / 100 % liveHosts
					domain, site = fmt.Sprintf("live%d.example", host), fmt.Sprintf("smtp:[127.3.0.%d]:%d", host+1, d.live.Port())
				}
				if err := os.WriteFile(filepath.Join(d.dir, "spool", "queue", id), text, 0o600); err != nil {
					return err
				}
				r := schema.QueueRecipient{Address: fmt.Sprintf("deferred%d@%s", i, domain), Site: site,
					Due: now.Add(d.later), Attempts: 1, Status: "4.4.1", Reply: "connect: Connection timed out"}
				r.Original = r.Address
				m := &schema.QueueMessage{ID: id, Sender: "a@elsewhere.example", Arrived: now.Add(-time.Hour), Size: int64(len(text))}
				if err := tx.QueueAdd(m, []schema.QueueRecipient{r}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			d.t.Fatal(err)
		}
	}
}

// queueID makes an ID that the server would have made then.
func queueID(at time.Time) string {
	const digits = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
	write := func(n int64, width int) string {
		b := make([]byte, width)
		for i := width - 1; i >= 0; i-- {
			b[i] = digits[n%52]
			n /= 52
		}
		return string(b)
	}
	return write(at.Unix(), 6) + write(int64(at.Nanosecond()/1000), 4) + "z0000"
}

// newMail sends to the live hosts while the server works at the dead ones.
func (d *deadHosts) newMail() {
	const n = 100
	s, err := dialSender(d.addr(25))
	if err != nil {
		d.t.Fatal(err)
	}
	defer s.c.Close()
	accepted := make(map[string]time.Time)
	var slowest time.Duration
	for i := range n {
		to := fmt.Sprintf("new%d@live%d.example", i, i%liveHosts)
		begun := time.Now()
		if err := s.send(to, message(fmt.Sprint("new", i), "new", "x")); err != nil {
			d.t.Fatal(err)
		}
		accepted[to] = time.Now()
		slowest = max(slowest, time.Since(begun))
	}
	waitFor(d.t, "new mail for live hosts has arrived", func() bool { return d.count("new") == n })
	var waits []time.Duration
	d.mu.Lock()
	for to, at := range accepted {
		waits = append(waits, d.arrived[to].Sub(at))
	}
	d.mu.Unlock()
	slices.Sort(waits)
	d.t.Logf("new mail for live hosts leaves %v after the 250 (median), %v at most; the slowest 250 took %v",
		waits[n/2].Round(time.Millisecond), waits[n-1].Round(time.Millisecond), slowest.Round(time.Millisecond))
	most := deadTime
	if long() { // on a quiet machine
		most = 2 * time.Second
	}
	if waits[n-1] > most {
		d.t.Errorf("a new message for a live host has waited %v", waits[n-1])
	}
}

// deferredMail waits until all deferred mail for live hosts has arrived.
func (d *deadHosts) deferredMail(begun time.Time) {
	want := d.messages / 100
	for d.count("deferred") < want {
		if time.Since(begun) > 2*patience {
			d.t.Fatalf("%d of %d deferred messages for live hosts have arrived\n%s", d.count("deferred"), want, d.log.tail(10))
		}
		time.Sleep(50 * time.Millisecond)
	}
	d.t.Logf("all %d deferred messages for live hosts had arrived %v after the start", want, time.Since(begun).Round(time.Millisecond))
}

func (d *deadHosts) count(prefix string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for to := range d.arrived {
		if strings.HasPrefix(to, prefix) {
			n++
		}
	}
	return n
}
