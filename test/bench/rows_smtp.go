package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// allRows is the table, in the order of its lines.
func allRows() []row {
	return append([]row{
		{"idle", []metric{
			{name: "memory, MB PSS", digits: 1, less: true, bound: 18},
			{name: "anonymous, MB", digits: 1, less: true, bound: 9},
		}, idle},
		mailRow("20 connections, 4 KB", 4, 5000, load{sessions: 20, size: 4096}),
		mailRow("a connection a message, 4 KB", 4, 2500, load{sessions: 20, size: 4096, connectionEach: true}),
		mailRow("20 connections, 100 KB", 3, 1000, load{sessions: 20, size: 100 << 10}),
		mailRow("one connection, 4 KB", 1.2, 2000, load{sessions: 1, size: 4096}),
		relayRow(),
	}, append(imapRows(), sessionRows()...)...)
}

// settle is how long a server is left alone before its idle memory is read.
const settle = 2 * time.Second

func idle(_ *bench, s *subject) (figures, error) {
	time.Sleep(settle)
	pss, anon := s.group.memory()
	return figures{"memory, MB PSS": float64(pss) / 1024, "anonymous, MB": float64(anon) / 1024}, nil
}

func loadMetrics(times, cpu, p99 float64) []metric {
	return []metric{
		{name: "messages/s", times: times},
		{name: "CPU a message, ms", digits: 2, less: true, bound: cpu},
		{name: "p50 to the last 250, ms", digits: 1, less: true},
		{name: "p99 to the last 250, ms", digits: 1, less: true, bound: p99},
		{name: "memory, MB PSS", digits: 1, less: true, bound: 40},
	}
}

// mailRow is mail into mailboxes. Time ends when all of it is in them.
func mailRow(name string, times float64, messages int, l load) row {
	return row{name, loadMetrics(times, 0.5, 40), func(b *bench, s *subject) (figures, error) {
		l.messages, l.from = b.count(messages), "load@elsewhere.example"
		l.to = func(i int) []string { return []string{user(i)} }
		if err := s.firstMail(); err != nil {
			return nil, err
		}
		before := s.delivered()
		return l.measure(s, func() int { return s.delivered() - before })
	}}
}

// firstMail gives every mailbox a message, unless that was done: a server makes
// the directories of a mailbox once in its life, and this costs several
// messages.
func (s *subject) firstMail() error {
	if s.used {
		return nil
	}
	l := load{sessions: 4, messages: users, size: 1024, from: "first@elsewhere.example", to: func(i int) []string { return []string{user(i)} }}
	before := s.delivered()
	_, err := l.measure(s, func() int { return s.delivered() - before })
	s.used = err == nil
	return err
}

// relayRow is mail that goes on to another host.
func relayRow() row {
	return row{"relay, 20 connections, 4 KB", loadMetrics(3, 1, 0), func(b *bench, s *subject) (figures, error) {
		k, err := listenSink(s.sink)
		if err != nil {
			return nil, err
		}
		defer k.stop()
		l := load{sessions: 20, size: 4096, messages: b.count(5000), from: user(0), to: func(i int) []string { return []string{fmt.Sprintf("r%d@%s", i%50, sinkDomain)} }}
		return l.measure(s, func() int { return int(k.n.Load()) })
	}}
}

// measure sends the load and waits until arrived counts all of it.
func (l load) measure(s *subject, arrived func() int) (figures, error) {
	c := s.group.watch()
	waits, err := l.run(s.smtp)
	for end := time.Now().Add(2 * time.Minute); err == nil && arrived() < l.messages; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			err = fmt.Errorf("%d of %d messages have arrived", arrived(), l.messages)
		}
	}
	cpu, took, peak := c.end()
	if err == nil && arrived() != l.messages {
		err = fmt.Errorf("%d messages were sent, %d have arrived", l.messages, arrived())
	}
	return figures{
		"messages/s":              float64(l.messages) / took.Seconds(),
		"CPU a message, ms":       cpu.Seconds() * 1000 / float64(l.messages),
		"p50 to the last 250, ms": at(waits, 0.5),
		"p99 to the last 250, ms": at(waits, 0.99),
		"memory, MB PSS":          float64(peak) / 1024,
	}, err
}

// delivered counts the messages in all INBOXes, on the disk.
func (s *subject) delivered() (n int) {
	for i := range users {
		for _, sub := range []string{"new", "cur"} {
			d, err := os.Open(filepath.Join(s.inbox(i), sub))
			if err != nil {
				continue
			}
			names, _ := d.Readdirnames(-1)
			d.Close()
			n += len(names)
		}
	}
	return n
}
