package smtp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"mailserver/delivery"
	"mailserver/policy"
)

// sink takes messages and forgets them.
type sink struct{}

func (sink) Begin(context.Context, *delivery.Envelope) (Message, error) { return &sinkMessage{}, nil }

type sinkMessage struct{ n int64 }

func (m *sinkMessage) ID() string                        { return "4F3A21" }
func (m *sinkMessage) Write(p []byte) (int, error)       { m.n += int64(len(p)); return len(p), nil }
func (m *sinkMessage) Size() int64                       { return m.n }
func (*sinkMessage) Open() io.Reader                     { return nil }
func (*sinkMessage) Rewrite(func(io.Writer) error) error { return nil }
func (*sinkMessage) Spare() (delivery.Spare, error)      { return nil, nil }
func (*sinkMessage) Refused() bool                       { return false }
func (m *sinkMessage) Abort()                            {}
func (m *sinkMessage) Commit(context.Context, policy.Effects) []delivery.Outcome {
	return []delivery.Outcome{{Code: 250}}
}

// listen runs a server on a real socket until the benchmark ends.
func listenOn(b *testing.B, opt ListenerOptions) (addr string) {
	w := newWorld(&testing.T{}, "message_size_limit=0")
	w.srv.d.Accept = sink{}
	w.srv.d.Log = slog.New(slog.DiscardHandler)
	c, err := w.srv.config(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	w.srv.d.Config = func(context.Context) (*Config, error) { return c.Config, nil }
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		w.srv.Serve(ctx, ln, opt)
		close(done)
	}()
	b.Cleanup(func() {
		cancel()
		<-done
	})
	return ln.Addr().String()
}

// talk connects and greets; each say sends text and reads n replies.
func talk(b *testing.B, addr string) (conn net.Conn, say func(text string, n int)) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	r := bufio.NewReader(conn)
	say = func(text string, n int) {
		if _, err := io.WriteString(conn, text); err != nil {
			b.Fatal(err)
		}
		for n > 0 {
			line, err := r.ReadString('\n')
			if err != nil || line[0] > '3' {
				b.Fatal(line, err)
			}
			if line[3] == ' ' {
				n--
			}
		}
	}
	say("", 1)
	say("EHLO x\r\n", 1)
	return conn, say
}

const benchEnvelope = "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"

// BenchmarkMessage is a message of 4 KB, client and server in one process.
func BenchmarkMessage(b *testing.B) {
	addr := listenOn(b, ListenerOptions{TLS: None})
	body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 56) + ".\r\n"
	conn, say := talk(b, addr)
	defer conn.Close()
	b.ReportAllocs()
	for b.Loop() {
		say(benchEnvelope, 3)
		say(body, 1)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkLargeMessage is 50 MB.
func BenchmarkLargeMessage(b *testing.B) {
	addr := listenOn(b, ListenerOptions{TLS: None})
	body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 50<<20/72)
	conn, say := talk(b, addr)
	defer conn.Close()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		say(benchEnvelope, 3)
		say(body+".\r\n", 1)
	}
}

// BenchmarkIdleConnection reports the memory of a session that waits, after a
// message. The clients are in another process.
func BenchmarkIdleConnection(b *testing.B) {
	for _, mode := range []TLSMode{None, Wrapper} {
		b.Run(string(mode), func(b *testing.B) {
			opt := ListenerOptions{TLS: mode, Auth: AuthPlaintext}
			if mode == Wrapper {
				opt.TLSConfig = tlsConfig(&testing.T{})
			}
			addr := listenOn(b, opt)
			const n = 500
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			client := exec.Command(os.Args[0], "-test.run=^TestIdleClients$")
			client.Env = append(os.Environ(), fmt.Sprintf("IDLE_CLIENTS=%s %d %s", addr, n, mode))
			stdin, _ := client.StdinPipe()
			stdout, _ := client.StdoutPipe()
			if err := client.Start(); err != nil {
				b.Fatal(err)
			}
			if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
				b.Fatalf("clients: %q, %v", line, err)
			}
			time.Sleep(100 * time.Millisecond)
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(&after)
			for b.Loop() { // nothing: the sessions wait
			}
			used := after.HeapAlloc + after.StackInuse - before.HeapAlloc - before.StackInuse
			b.ReportMetric(float64(used)/n, "B/conn")
			stdin.Close()
			client.Wait()
		})
	}
}
