"""Compares delivery status notifications of two servers, case by case and
field by field. Prints a JSON list of differences."""
import email, email.policy, json, os, re, sys

def norm(s):
    s = re.sub(r'\s+', ' ', s).strip()
    s = re.sub(r'\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), +\d+ \w\w\w \d{4} \d\d:\d\d:\d\d [+-]\d{4} \(\w+\)', 'DATE', s)
    s = re.sub(r'id [0-9A-Za-z]+;', 'id ID;', s)
    s = re.sub(r'<[0-9]{14}\.[0-9A-Za-z]+@', '<STAMP.ID@', s)
    return s

def fields(m, skip=()):
    return [(k, norm(str(v))) for k, v in m.raw_items() if k not in skip]

def people(text):
    """The first line, and the paragraphs about recipients."""
    lines = text.replace('\r\n', '\n').split('\n')
    out = {'first line': lines[0]}
    at = next((i for i, l in enumerate(lines) if l.startswith('<')), len(lines))
    out['recipients'] = '\n\n'.join(sorted('\n'.join(lines[at:]).strip().split('\n\n')))
    out['words before'] = 'some' if any(l.strip() for l in lines[1:at]) else 'none'
    return out

def read(path):
    raw = open(path, 'rb').read()
    first, raw = raw.split(b'\r\n', 1)
    first = re.sub(rb' SIZE=\d+', b'', first)
    m = email.message_from_bytes(raw, policy=email.policy.compat32)
    r = {'MAIL': first.decode()}
    for k, v in fields(m):
        if k == 'Content-Type':
            v = '%s report-type=%s' % (m.get_content_type(), m.get_param('report-type'))
        if k == 'Message-Id':
            v = re.sub(r'<[0-9]{14}\.[0-9A-Za-z]+@', '<STAMP.ID@', v)
        r['header ' + k] = v
    r['order of headers'] = ' '.join(k for k, _ in fields(m))
    r['preamble'] = (m.preamble or '').strip()
    parts = m.get_payload()
    r['parts'] = ' '.join(p.get_content_type() for p in parts)
    r['defects'] = str([type(d).__name__ for p in m.walk() for d in p.defects])
    for i, p in enumerate(parts):
        for k, v in fields(p):
            r['part %d %s' % (i, k)] = v
    for k, v in people(parts[0].get_payload()).items():
        r['text, ' + k] = v
    report = parts[1]
    groups = report.get_payload()
    if isinstance(groups, str):  # message/global-delivery-status
        groups = [email.message_from_string(g + '\n', policy=email.policy.compat32)
                  for g in re.split(r'\r?\n\r?\n', groups.strip())]
    groups = [g for g in groups if g.keys()]
    # In which order deliveries ended does not matter.
    groups[1:] = sorted(groups[1:], key=lambda g: str(g['Final-Recipient']))
    r['groups'] = str(len(groups))
    for i, g in enumerate(groups):
        for k, v in fields(g):
            if k == 'X-Postfix-Queue-ID':
                v = 'ID'
            r['group %d %s' % (i, k)] = v
        r['group %d order' % i] = ' '.join(g.keys())
    # The lines as they are folded.
    text = raw.decode('utf-8', 'replace').replace('\r\n', '\n')
    r['folding'] = '\n'.join(l for l in sorted( re.findall(r'Diagnostic-Code:.*(?:\n .*)*', text)))
    back = parts[2]
    inner = back.get_payload()
    if isinstance(inner, list):
        inner = inner[0].as_string()
    r['returned'] = norm(re.sub(r'Received:.*(?:\n[ \t].*)*\n', '', inner.replace('\r\n', '\n')))
    r['returned Return-Path'] = str(inner.replace('\r\n', '\n').startswith('Return-Path:'))
    return r

diffs = []
a, b = sys.argv[1:]
for name in sorted(set(os.listdir(a)) & set(os.listdir(b))):
    x, y = read(os.path.join(a, name)), read(os.path.join(b, name))
    for k in list(x) + [k for k in y if k not in x]:
        if x.get(k) != y.get(k):
            diffs.append({'Case': name, 'Field': k, 'Postfix': str(x.get(k))[:600], 'Ours': str(y.get(k))[:600]})
json.dump(diffs, sys.stdout)
