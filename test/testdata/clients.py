"""Python's smtplib and imaplib against the server at a port base."""
import imaplib
import smtplib
import ssl
import sys
from email.message import EmailMessage

base = int(sys.argv[1])
trust = ssl.create_default_context()
trust.check_hostname = False
trust.verify_mode = ssl.CERT_NONE


def message(subject, body):
    m = EmailMessage()
    m["From"] = "Ann <ann@vmail.example>"
    m["To"] = "joe@vmail.example"
    m["Subject"] = subject
    m.set_content(body)
    m.add_attachment(b"\x00\x01" * 5000, maintype="application", subtype="octet-stream", filename="a.bin")
    return m


def ok(answer):
    kind, data = answer
    assert kind == "OK", answer
    return data


with smtplib.SMTP("127.0.0.1", base + 25) as s:
    s.send_message(message("from a stranger", "plain"))
    try:
        s.sendmail("ann@vmail.example", ["nobody@vmail.example"], "x")
        raise AssertionError("an unknown user was taken")
    except smtplib.SMTPRecipientsRefused as e:
        assert e.recipients["nobody@vmail.example"][0] == 550, e

with smtplib.SMTP("127.0.0.1", base + 587) as s:
    s.starttls(context=trust)
    s.login("ann@vmail.example", "anns-secret")
    s.send_message(message("über submission", "grüße"))

with smtplib.SMTP_SSL("127.0.0.1", base + 465, context=trust) as s:
    s.login("ann@vmail.example", "anns-secret")
    s.send_message(message("over TLS", "x"))

with smtplib.LMTP("127.0.0.1", base + 24) as s:
    refused = s.sendmail("ann@vmail.example", ["joe@vmail.example", "nobody@vmail.example"], message("by LMTP", "x").as_bytes())
    assert list(refused) == ["nobody@vmail.example"], refused

c = imaplib.IMAP4("127.0.0.1", base + 143)
c.starttls(trust)
try:
    c.login("joe@vmail.example", "wrong")
    raise AssertionError("a wrong password was taken")
except imaplib.IMAP4.error:
    pass
c.login("joe@vmail.example", "joes-secret")
assert ok(c.select("INBOX")) == [b"4"]
data = ok(c.fetch("1:4", "(UID FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE)"))
assert len(data) == 4, data
text = ok(c.fetch("2", "(BODY.PEEK[])"))[0][1]
assert b"Subject: =?utf-8?" in text and b"a.bin" in text, text
ok(c.create("Archive.2026"))
ok(c.copy("1:2", "Archive.2026"))
ok(c.store("1", "+FLAGS", r"(\Seen \Flagged)"))
assert ok(c.search(None, "FLAGGED")) == [b"1"]
ok(c.store("2", "+FLAGS", r"\Deleted"))
assert ok(c.expunge()) == [b"2"]
ok(c.append("Archive.2026", r"\Draft", None, message("appended", "x").as_bytes()))
assert ok(c.select("Archive.2026")) == [b"3"]
assert ok(c.search(None, "SUBJECT", "appended")) == [b"3"]
kind, data = c.status("INBOX", "(MESSAGES UNSEEN)")
assert kind == "OK" and b"MESSAGES 3" in data[0], data
ok(c.rename("Archive.2026", "Archive.old"))
names = [line.split()[-1] for line in ok(c.list())]
assert b"Archive.old" in names and b"Archive.2026" not in names, names
ok(c.close())
ok(c.delete("Archive.old"))
c.logout()
print("all well")
