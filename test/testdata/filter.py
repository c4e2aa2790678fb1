"""A milter that does what the mail asks for. Usage: filter.py SOCKET MODE"""
import os, sys, time
import Milter

MODE = sys.argv[2]


@Milter.rejected_recipients
class M(Milter.Base):
    def __init__(self):
        self.do, self.seen = [], []

    def answer(self, text):
        verb = text.strip("<>").split("@")[0].split(".")[0]
        if verb == "reject":
            return Milter.REJECT
        if verb == "tempfail":
            return Milter.TEMPFAIL
        if verb == "discard":
            return Milter.DISCARD
        if verb == "accept":
            return Milter.ACCEPT
        if verb == "reply":
            self.setreply("554", "5.7.9", "not 100%% wanted")
            return Milter.REJECT
        if verb == "lines":
            self.setreply("450", "4.7.8", "first line", "second line")
            return Milter.TEMPFAIL
        if verb == "code":
            self.setreply("571", None, "no enhanced code")
            return Milter.REJECT
        if verb == "bye":
            self.setreply("421", "4.7.7", "go away")
            return Milter.TEMPFAIL
        if verb == "hang":
            time.sleep(20)
        if verb == "die":
            os._exit(3)
        return Milter.CONTINUE

    def connect(self, name, family, addr):
        return self.answer(MODE[8:]) if MODE.startswith("connect-") else Milter.CONTINUE

    def hello(self, name):
        return self.answer(name)

    def envfrom(self, sender, *params):
        self.do, self.seen = [], ["mail " + " ".join((sender,) + params)]
        return self.answer(sender)

    def envrcpt(self, to, *params):
        self.seen.append("rcpt %s mailer=%s" % (" ".join((to,) + params), self.getsymval("{rcpt_mailer}")))
        return self.answer(to)

    def data(self):
        return self.answer("reject") if "data-reject" in self.seen[0] else Milter.CONTINUE

    def header(self, name, value):
        if name == "X-Do":
            self.do.append(value)
        self.seen.append("header %s=%r" % (name, value))
        return self.answer(value[7:]) if name == "X-Do" and value.startswith("header-") else Milter.CONTINUE

    def eoh(self):
        for what in self.do:
            if what.startswith("eoh-"):
                return self.answer(what[4:])
        return Milter.CONTINUE

    def body(self, chunk):
        self.seen.append("body %d" % len(chunk))
        if "body-skip" in self.do:
            return Milter.SKIP
        return Milter.CONTINUE

    def eom(self):
        result = Milter.CONTINUE
        for what in self.do:
            if what == "add":
                self.addheader("X-Added", "one\n\ttwo")
            elif what == "ins":
                for i in (0, 1, 2, 99):
                    self.addheader("X-Ins-%d" % i, "here", i)
            elif what == "chg":
                self.chgheader("X-Twice", 2, "changed")
                self.chgheader("subject", 0, "zero")
                self.chgheader("Received", 1, "by nobody")
                self.chgheader("X-New", 1, "not there before")
                self.chgheader("X-New-Five", 5, "nor this")
            elif what == "del":
                self.chgheader("X-Twice", 1, "")
                self.chgheader("X-None", 1, "")
            elif what == "body":
                self.replacebody("another\r\n")
                self.replacebody("body\r\n.\r\n.dot\r\nend")
            elif what == "bigbody":
                for i in range(40):
                    self.replacebody(("%05d " % i) * 5000 + "\r\n")
            elif what == "addrcpt":
                self.addrcpt("<new@relay.example>")
                self.addrcpt("par@relay.example", "NOTIFY=NEVER")
            elif what == "delrcpt":
                self.delrcpt("<two@relay.example>")
            elif what == "delall":
                self.delrcpt("<one@relay.example>")
                self.delrcpt("<two@relay.example>")
            elif what == "chgfrom":
                self.chgfrom("<changed@sender.example>", "ENVID=xyz")
            elif what == "quarantine":
                self.quarantine("looks odd")
            elif what == "progress":
                for i in range(3):
                    time.sleep(0.7)
                    self.progress()
            elif what == "seen":
                for i, line in enumerate(self.seen):
                    self.addheader("X-Seen-%d" % i, line.replace("\n", "|"))
                for name in ("j", "_", "{auth_type}", "{daemon_name}", "{client_addr}", "{mail_addr}", "{mail_host}", "{mail_mailer}", "{rcpt_addr}", "{rcpt_host}", "{daemon_addr}"):
                    self.addheader("X-Macro", "%s=%s" % (name, self.getsymval(name)))
                self.addheader("X-Macro", "i=%s" % (self.getsymval("i") is not None))
            elif what.startswith("eom-"):
                result = self.answer(what[4:])
        return result

    def unknown(self, line):
        return self.answer(line)


Milter.factory = M
Milter.set_flags(Milter.CHGBODY + Milter.CHGHDRS + Milter.ADDHDRS + Milter.ADDRCPT + Milter.DELRCPT + Milter.QUARANTINE + Milter.CHGFROM + Milter.ADDRCPT_PAR)
Milter.runmilter("test", sys.argv[1], 60)
