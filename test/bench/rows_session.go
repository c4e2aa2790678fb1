package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// sessionRows are the rows of what sessions do beside reading a mailbox.
func sessionRows() []row {
	return []row{
		loginRow(),
		appendRow("APPEND, one connection", 1, 1.2, 300),
		appendRow("APPEND, ten connections", 10, 3, 2000),
		latencyRow(),
		largeRow(),
	}
}

// atOnce runs do for 0 to n-1, by so many clients at once, and gives how many a
// second were done.
func atOnce(clients, n int, do func(client, i int) error) (float64, error) {
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, clients)
	begun := time.Now()
	for client := range clients {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := do(client, int(i)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(failed)
	return float64(n) / time.Since(begun).Seconds(), <-failed
}

// loginRow is a connection, LOGIN and LOGOUT; the password is kept as it is, so
// that no hash is counted.
func loginRow() row {
	list := []metric{{name: "log-ins/s", times: 10}, {name: "CPU a log-in, ms", digits: 2, less: true}}
	return row{"log-ins, 8 at once", list, func(b *bench, s *subject) (figures, error) {
		n, used := b.count(1000), s.group.cpu()
		rate, err := atOnce(8, n, func(_, i int) error {
			c, err := logIn(s.imap, i, false)
			if err != nil {
				return err
			}
			defer c.close()
			_, err = c.do("LOGOUT")
			return err
		})
		cpu := s.group.cpu() - used
		return figures{"log-ins/s": rate, "CPU a log-in, ms": cpu.Seconds() * 1000 / float64(n)}, err
	}}
}

// appendRow is APPEND of 4 KB without waiting for the "+"; each connection is of
// a user of its own.
func appendRow(name string, clients int, times float64, messages int) row {
	list := []metric{{name: "messages/s", times: times}, {name: "CPU a message, ms", digits: 2, less: true}}
	return row{name, list, func(b *bench, s *subject) (figures, error) {
		var all []*reader
		defer func() { closeAll(all) }()
		for i := range clients {
			c, err := logIn(s.imap, i+10, false)
			if err != nil {
				return nil, err
			}
			all = append(all, c)
			if _, err := c.do("STATUS INBOX (MESSAGES)"); err != nil {
				return nil, err
			}
		}
		text := "From: <a@elsewhere.example>\r\nSubject: a message that is appended\r\n\r\n" + strings.Repeat(strings.Repeat("bulk ", 14)+"\r\n", 55)
		command := fmt.Sprintf("APPEND INBOX (\\Seen) {%d+}\r\n%s", len(text), text)
		n, used := b.count(messages), s.group.cpu()
		rate, err := atOnce(clients, n, func(client, _ int) error {
			_, err := all[client].do(command)
			return err
		})
		cpu := s.group.cpu() - used
		return figures{"messages/s": rate, "CPU a message, ms": cpu.Seconds() * 1000 / float64(n)}, err
	}}
}

// latencyRow is how long a session in IDLE waits for "* EXISTS" after the 250 of a
// message.
func latencyRow() row {
	list := []metric{{name: "median, ms", digits: 1, less: true, bound: 5}, {name: "worst of 20, ms", digits: 1, less: true}}
	return row{"IDLE, from the 250 to EXISTS", list, func(_ *bench, s *subject) (figures, error) {
		const who, times = 3, 20
		if err := s.one(who); err != nil {
			return nil, err
		}
		idle, err := openIdleOf(s.imap, who)
		if err != nil {
			return nil, err
		}
		defer idle.close()
		var waits []float64
		for range times {
			told := make(chan error, 1)
			var when time.Time
			go func() {
				err := idle.exists()
				when = time.Now()
				told <- err
			}()
			if err := s.one(who); err != nil {
				return nil, err
			}
			accepted := time.Now()
			if err := <-told; err != nil {
				return nil, err
			}
			waits = append(waits, max(0, float64(when.Sub(accepted).Microseconds())/1000))
			time.Sleep(100 * time.Millisecond)
		}
		slices.Sort(waits)
		return figures{"median, ms": median(waits), "worst of 20, ms": waits[times-1]}, nil
	}}
}

// exists reads to the line that tells a new number of messages.
func (c *reader) exists() error {
	for {
		line, err := c.until("* ")
		if err != nil || strings.HasSuffix(line, " EXISTS\r\n") {
			return err
		}
	}
}

func openIdleOf(address string, who int) (*reader, error) {
	c, err := logIn(address, who, false)
	if err != nil {
		return nil, err
	}
	if _, err = c.do("SELECT INBOX"); err == nil {
		_, err = c.c.Write([]byte("bench1 IDLE\r\n"))
	}
	if err == nil {
		_, err = c.until("+ ")
	}
	if err != nil {
		c.close()
	}
	return c, err
}

// one delivers a message of 4 KB, and returns when it is accepted.
func (s *subject) one(who int) error {
	l := load{sessions: 1, messages: 1, size: 4096, from: "load@elsewhere.example", to: func(int) []string { return []string{user(who)} }}
	_, err := l.run(s.smtp)
	return err
}

// largeRow is mail into a mailbox of a million messages and into one of a few, in
// turns.
func largeRow() row {
	list := []metric{
		{name: "first SELECT, ms", less: true}, {name: "SELECT, ms", digits: 1, less: true},
		{name: "SEARCH UNSEEN, ms", digits: 1, less: true},
		{name: "small: ms a message", digits: 2, less: true}, {name: "large: ms a message", digits: 2, less: true},
		{name: "small: CPU a message, ms", digits: 2, less: true}, {name: "large: CPU a message, ms", digits: 2, less: true},
		{name: "large against small, CPU", digits: 2, less: true, bound: 1.1},
		{name: "memory after all, MB PSS", digits: 1, less: true},
	}
	return row{"delivery into a mailbox of 1,000,000", list, func(b *bench, s *subject) (figures, error) {
		f := figures{}
		if err := s.fillLinks(b.count(1_000_000)); err != nil {
			return nil, err
		}
		defer os.RemoveAll(s.inbox(s.owner))
		syscall.Sync()
		if err := s.cold(); err != nil {
			return nil, err
		}
		if err := s.ready(); err != nil {
			return nil, err
		}
		for _, step := range []struct{ figure, command string }{
			{"first SELECT, ms", "SELECT INBOX"}, {"", "UID FETCH 1:* (FLAGS)"}, {"SELECT, ms", "SELECT INBOX"}, {"SEARCH UNSEEN, ms", "UID SEARCH UNSEEN"},
		} {
			if err := s.step(f, step.figure, step.command); err != nil {
				return nil, err
			}
		}
		err := s.deliverInTurns(f, 400)
		pss, _ := s.group.memory()
		f["memory after all, MB PSS"] = float64(pss) / 1024
		return f, err
	}}
}

// step is a command of a new session that has selected the INBOX.
func (s *subject) step(f figures, figure, command string) error {
	c, err := logIn(s.imap, s.owner, false)
	if err != nil {
		return err
	}
	defer c.close()
	if !strings.HasPrefix(command, "SELECT") {
		if _, err := c.do("SELECT INBOX"); err != nil {
			return err
		}
	}
	took, err := c.do(command)
	if figure != "" {
		f[figure] = float64(took.Microseconds()) / 1000
	}
	return err
}

func (s *subject) deliverInTurns(f figures, messages int) error {
	const rounds = 10
	size := [2]string{"large", "small"}
	var took, cpu [2]time.Duration
	each := max(1, messages/rounds)
	for round := range rounds + 1 {
		for who := range 2 {
			l := load{sessions: 1, messages: each, size: 4096, from: "load@elsewhere.example", to: func(int) []string { return []string{user([2]int{s.owner, 0}[who])} }}
			used, begun := s.group.cpu(), time.Now()
			if _, err := l.run(s.smtp); err != nil {
				return err
			}
			wall := time.Since(begun)
			time.Sleep(200 * time.Millisecond) // what follows the 250 counts
			if round > 0 {                     // the first warms up
				took[who] += wall
				cpu[who] += s.group.cpu() - used
			}
		}
	}
	n := float64(each * rounds)
	for who, name := range size {
		f[name+": ms a message"] = took[who].Seconds() * 1000 / n
		f[name+": CPU a message, ms"] = cpu[who].Seconds() * 1000 / n
	}
	f["large against small, CPU"] = float64(cpu[0]) / float64(cpu[1])
	return nil
}
