package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"mailserver/internal/postfixconf"
	"mailserver/schema"
)

// ports of services(5) that master.cf names.
var servicePorts = map[string]int{"smtp": 25, "submission": 587, "smtps": 465, "submissions": 465, "lmtp": 24}

// services takes master.cf: listeners of smtpd, programs of pipe. The others
// are parts of Postfix that this server has in itself.
func (mv *postfixMove) services() error {
	behind := false // smtpd pass: what postscreen hands on
	for i := range mv.master {
		behind = behind || mv.master[i].Type == "pass" && mv.master[i].Command == "smtpd"
	}
	for i := range mv.master {
		s := &mv.master[i]
		var err error
		switch {
		case s.Command == "smtpd" && s.Type == "inet":
			err = mv.listener(s, false)
		case s.Command == "postscreen" && s.Type == "inet":
			err = mv.listener(s, behind)
		case s.Command == "pipe":
			err = mv.pipe(s)
		case s.Command == "spawn":
			mv.told(s, missed, "programs are not started for clients: let systemd start it on a socket of its own")
		case s.Command == "qmqpd":
			mv.told(s, missed, "QMQP is not spoken here")
		case s.Type == "inet":
			mv.told(s, missed, "there is no %s here", s.Command)
			mv.partOptions(s)
		case s.Command == "smtp" || s.Command == "lmtp":
			mv.client(s)
		default:
			mv.told(s, needless, "this server is one process")
			if s.Type != "pass" { // told with postscreen
				mv.partOptions(s)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (mv *postfixMove) told(s *postfixconf.Service, verdict, format string, args ...any) {
	mv.tell("master.cf", s.Line, s.Name+" "+s.Type, verdict, format, args...)
}

func (mv *postfixMove) client(s *postfixconf.Service) {
	if s.Name == "smtp" || s.Name == "relay" || s.Name == "lmtp" {
		mv.told(s, needless, "this server is one process")
	} else {
		mv.told(s, needless, "rows that name %s say %s", s.Name, s.Command)
	}
	for _, o := range s.Options {
		if !mv.plainOption(s, o) {
			mv.told(s, missed, "-o %s: settings hold for every next hop; rows of TlsPolicy, RelayHost and Transport tell them apart", o.Name)
		}
	}
}

// address is where a service listens; several where inet_interfaces names
// several.
func (mv *postfixMove) addresses(s *postfixconf.Service) ([]string, error) {
	host, port := "", s.Name
	if i := strings.LastIndexByte(s.Name, ':'); i >= 0 {
		host, port = strings.Trim(s.Name[:i], "[]"), s.Name[i+1:]
	}
	n, err := strconv.Atoi(port)
	if known, ok := servicePorts[port]; ok {
		n, err = known, nil
	}
	if err != nil || n < 1 || n > 65535 {
		return nil, fmt.Errorf("%q is no port", port)
	}
	if host != "" {
		if host == "localhost" {
			host = "127.0.0.1"
		}
		return []string{net.JoinHostPort(host, strconv.Itoa(n))}, nil
	}
	interfaces, over := mv.value("inet_interfaces"), s.Over()
	if v, ok := over["inet_interfaces"]; ok {
		interfaces = v
	}
	var list []string
	for _, w := range postfixconf.Words(interfaces, true) {
		switch w {
		case "all":
			list = append(list, fmt.Sprintf(":%d", n))
		case "loopback-only", "localhost":
			list = append(list, fmt.Sprintf("127.0.0.1:%d", n))
		default:
			list = append(list, net.JoinHostPort(strings.Trim(w, "[]"), strconv.Itoa(n)))
		}
	}
	return list, nil
}

// isSubmission reports a service for people who log in.
func (mv *postfixMove) isSubmission(s *postfixconf.Service) bool {
	switch port := s.Name[strings.LastIndexByte(s.Name, ':')+1:]; port {
	case "submission", "submissions", "smtps", "587", "465":
		return true
	}
	for _, name := range []string{"smtpd_client_restrictions", "smtpd_relay_restrictions", "smtpd_recipient_restrictions"} {
		words := postfixconf.Words(strings.ToLower(mv.over(s, name)), true)
		if len(words) > 1 && words[0] == "permit_sasl_authenticated" && words[len(words)-1] == "reject" {
			return true
		}
	}
	return false
}

// over is a parameter as one service has it.
func (mv *postfixMove) over(s *postfixconf.Service, name string) string {
	over := s.Over()
	raw, ok := over[name]
	if !ok {
		raw = mv.conf.Raw(name)
	}
	text, err := mv.conf.ExpandWith(raw, over)
	if err != nil {
		mv.told(s, missed, "-o %s: %v", name, err)
	}
	return strings.TrimSpace(text)
}

func isYes(text string) bool { return strings.EqualFold(text, "yes") }

// listener takes a service of smtpd or postscreen.
func (mv *postfixMove) listener(s *postfixconf.Service, screened bool) error {
	addresses, err := mv.addresses(s)
	if err != nil {
		mv.told(s, missed, "%v", err)
		return nil
	}
	front := mv.front(s)
	l := mv.listenerRow(s, front)
	if front != s {
		mv.partOptions(s)
	}
	if err := mv.options(front, l); err != nil {
		return err
	}
	for _, address := range addresses {
		l.Address = address
		if err := mv.t.PutListener(l); err != nil {
			return err
		}
	}
	note := ""
	if s.Command == "postscreen" {
		if screened {
			note = ", screened"
		}
		if err := mv.put("postscreen_listeners", "mx"); err != nil {
			return err
		}
	}
	if l.Auth > 0 {
		note += ", with log-ins"
	}
	mv.told(s, taken, "listener %s at %s, TLS %s%s", l.Protocol, strings.Join(addresses, " "), l.TLS, note)
	return nil
}

// front is the service that speaks with clients: that to which postscreen
// hands them on, else s.
func (mv *postfixMove) front(s *postfixconf.Service) *postfixconf.Service {
	front := s
	if s.Command == "postscreen" {
		for i := range mv.master {
			if mv.master[i].Type == "pass" {
				front = &mv.master[i]
			}
		}
	}
	return front
}

// listenerRow is the row of a service, without its address.
func (mv *postfixMove) listenerRow(s, front *postfixconf.Service) schema.Listener {
	l := schema.Listener{Protocol: "mx", TLS: mv.level(front), Proxy: mv.proxied(s)}
	if mv.isSubmission(s) {
		l.Protocol = "submission"
	}
	if isYes(mv.over(front, "smtpd_sasl_auth_enable")) {
		if l.Auth = 1; !isYes(mv.over(front, "smtpd_tls_auth_only")) && l.TLS != "encrypt" && l.TLS != "wrapper" {
			l.Auth = 2
		}
	}
	if filter, ok := s.Option("content_filter"); ok && filter == "" {
		l.Tag = "filtered"
	}
	if name, ok := front.Option("myhostname"); ok && name != "" {
		l.Hostname = mv.over(front, "myhostname")
	}
	return l
}

// level is the column lsTls of a service.
func (mv *postfixMove) level(s *postfixconf.Service) string {
	if isYes(mv.over(s, "smtpd_tls_wrappermode")) {
		return "wrapper"
	}
	level := mv.over(s, "smtpd_tls_security_level")
	switch {
	case level == "encrypt" || isYes(mv.over(s, "smtpd_enforce_tls")):
		return "encrypt"
	case level == "none":
		return "none"
	case level == "" && !isYes(mv.over(s, "smtpd_use_tls")):
		if _, ok := mv.conf.Get("smtpd_tls_security_level"); ok {
			return "none"
		}
	}
	return "may"
}

// muaName is the setting for submission of a list that the MX has; ” if there
// is none.
func muaName(name string) string {
	middle, ok := strings.CutSuffix(strings.TrimPrefix(name, "smtpd_"), "_restrictions")
	switch middle {
	case "client", "helo", "sender", "relay", "recipient":
		if ok && strings.HasPrefix(name, "smtpd_") {
			return "mua_" + middle + "_restrictions"
		}
	}
	return ""
}

// submissionLists takes the lists of a service for submission: all of them, the
// ones that it does not say too. The first such service decides.
func (mv *postfixMove) submissionLists(s *postfixconf.Service) error {
	first := mv.counts["submission"] == 0
	mv.counts["submission"]++
	for _, name := range postfixLists {
		mua := muaName(name)
		if mua == "" {
			continue
		}
		list, err := mv.list(name, mv.over(s, name))
		if err != nil {
			return err
		}
		if fault := mv.fault(mua, list); fault != "" {
			mv.told(s, missed, "-o %s: %s", name, fault)
			continue
		}
		_, said := s.Option(name)
		if !first {
			if list != mv.rows[mua] {
				mv.told(s, missed, "-o %s: listeners for submission share one list, that of the first: %s", name, mv.rows[mua])
			} else if said {
				mv.told(s, taken, "-o %s: setting %s", name, mua)
			}
			continue
		}
		mv.done[mua] = true
		if err := mv.put(mua, list); err != nil {
			return err
		}
		if said {
			mv.told(s, taken, "-o %s: setting %s", name, mua)
		}
	}
	return nil
}

// pipeRow reads the attributes of pipe(8).
func (mv *postfixMove) pipeRow(s *postfixconf.Service) schema.Pipe {
	p := schema.Pipe{Name: s.Name, EOL: `\n`, NullSender: "MAILER-DAEMON"}
	for i, w := range s.Args {
		inner, _ := postfixconf.Unbrace(w)
		name, value, _ := strings.Cut(inner, "=")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "flags":
			p.Flags = value
		case "user":
			p.User = value
		case "directory":
			p.Directory = value
		case "eol":
			p.EOL = value
		case "null_sender":
			p.NullSender = value
		case "size":
			p.Size, _ = strconv.ParseInt(value, 10, 64)
		case "argv":
			p.Argv = strings.TrimSpace(strings.Join(append([]string{value}, s.Args[i+1:]...), " "))
			return p
		case "chroot":
			mv.told(s, missed, "chroot: programs run where they are")
		default:
			mv.told(s, missed, "%q is no attribute of pipe(8)", w)
		}
	}
	return p
}

// pipe takes a transport of pipe(8).
func (mv *postfixMove) pipe(s *postfixconf.Service) error {
	p := mv.pipeRow(s)
	if dovecotWay(s.Name) || strings.HasSuffix(filepath.Base(strings.Fields(p.Argv + " -")[0]), "dovecot-lda") {
		mv.told(s, needless, "this server delivers by itself")
		return nil
	}
	if n, err := strconv.Atoi(s.MaxProc); err == nil && n > 0 {
		p.MaxProc = n
	}
	if n, err := strconv.Atoi(mv.value(s.Name + "_destination_recipient_limit")); err == nil && n > 0 {
		p.Recipients = n
	}
	mv.done[s.Name+"_destination_recipient_limit"] = true
	if p.Argv == "" || p.User == "" {
		mv.told(s, missed, "it needs user= and argv=")
		return nil
	}
	if err := mv.t.PutPipe(p); err != nil {
		return mv.row("master.cf", s.Line, s.Name, err)
	}
	mv.told(s, taken, "row of Pipe")
	return nil
}
