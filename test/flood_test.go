package test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// floodClients is how many bad clients there are; three of four are connected
// at a time, the others have been thrown out and are about to come again.
const floodClients = 1400

// costMost is what one of them may cost, in bytes.
const costMost = 50 << 10

// TestThousandBadClients: clients that talk before their turn, send all
// commands at once, or speak HTTP, each from an address of its own, as fast as
// they come. Each costs less than 50 KB, none takes anything away from others,
// and good mail flows meanwhile.
func TestThousandBadClients(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	for name, rows := range map[string][]string{
		"server":     {"postscreen_listeners="},
		"postscreen": {"postscreen_listeners=mx", "postscreen_greet_wait=6s", "postscreen_greet_action=enforce", "postscreen_pipelining_enable=yes", "postscreen_non_smtp_command_enable=yes"},
	} {
		t.Run(name, func(t *testing.T) { underFlood(t, rows) })
	}
}

func underFlood(t *testing.T, rows []string) {
	h := sampleHost(t, "")
	h.mustRun(append([]string{"config", "set", "mynetworks=127.0.0.1", "smtpd_peername_lookup=no", "smtpd_connection_limit=2000"}, rows...)...)
	h.start()
	for range 20 { // what the first mails grow is not the clients'
		goodMail(t, h)
	}
	quiet := latencies(t, h, time.Second)
	before := int64(h.resident()) << 10

	var open, visits atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range floodClients {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				badClient(h.addr(25), i, stop, &open)
				visits.Add(1)
			}
		})
	}
	waitFor(t, "most clients are connected", func() bool { return open.Load() >= floodClients*2/3 })
	cost, held := int64(0), int64(0)
	measured := make(chan struct{})
	go func() {
		defer close(measured)
		for range 20 {
			n := open.Load()
			held, cost = max(held, n), max(cost, (int64(h.resident())<<10-before)/max(n, 1))
			time.Sleep(200 * time.Millisecond)
		}
	}()
	first := visits.Load()
	begun := time.Now()
	loud := latencies(t, h, 4*time.Second)
	rate := (visits.Load() - first) * int64(time.Second) / int64(time.Since(begun))
	<-measured
	close(stop)
	clients.Wait()

	t.Logf("%d clients connected at a time, %d new ones a second: %d bytes each; good mail: alone %s, meanwhile %s", held, rate, cost, quantiles(quiet), quantiles(loud))
	if cost > costMost {
		t.Errorf("a client costs %d bytes, more than %d", cost, costMost)
	}
	if worst := loud[len(loud)-1]; worst > 3*time.Second && long() { // beside other tests it says nothing
		t.Errorf("a good mail took %v", worst)
	}
}

// badClient is one visit: it speaks at some moment, before or behind the
// greeting, stays for as long as it is let, and waits a second.
func badClient(addr string, i int, stop chan struct{}, open *atomic.Int64) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/250), byte(i%250+1))}, Timeout: patience}
	pause := func(t time.Duration) {
		select {
		case <-stop:
		case <-time.After(t):
		}
	}
	defer pause(time.Second)
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return
	}
	open.Add(1)
	defer open.Add(-1)
	defer c.Close()
	pause(rand.N(5 * time.Second))
	io.WriteString(c, []string{"EHLO early.example\r\n",
		"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<joe@vmail.example>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n",
		"POST / HTTP/1.1\r\nHost: mx.example\r\nContent-Length: 10\r\n\r\nHELO x\r\n"}[i%3])
	done := make(chan struct{})
	go func() { io.Copy(io.Discard, c); close(done) }()
	select {
	case <-done:
	case <-stop:
	case <-time.After(5 * time.Second):
	}
	c.Close()
	<-done
}

// goodMail sends one message as a client that has passed before does.
func goodMail(t *testing.T, h *host) time.Duration {
	t.Helper()
	begun := time.Now()
	replies := talkTo(t, h.addr(25), []string{"EHLO good.example", "MAIL FROM:<a@good.example>", "RCPT TO:<joe@vmail.example>", "DATA", "Subject: good\r\n\r\ntext\r\n.", "QUIT"})
	if !strings.Contains(strings.Join(replies, "\n"), "250 2.0.0 Ok: queued as") {
		t.Errorf("good mail: %q", replies)
	}
	return time.Since(begun)
}

// latencies sends good mail for a while, ten at least, and says how long each took.
func latencies(t *testing.T, h *host, d time.Duration) (list []time.Duration) {
	for end := time.Now().Add(d); len(list) < 10 || time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		list = append(list, goodMail(t, h))
	}
	slices.Sort(list)
	return list
}

func quantiles(list []time.Duration) string {
	at := func(p int) time.Duration { return list[(len(list)-1)*p/100].Round(100 * time.Microsecond) }
	return fmt.Sprintf("n=%d p50=%v p99=%v max=%v", len(list), at(50), at(99), at(100))
}
