-- The sample: one domain of every kind, as rows for "mailserver demo", for
-- "init --sample" and for the tests. It comes after the rows of init, which
-- has written the server's own domain with postmaster and abuse.

-- A local domain: its users are those of the system.
INSERT INTO Domain (domName, domClass) VALUES ('local.example', 1);

-- A relay domain: we are its MX, the mail itself goes on to another host.
INSERT INTO Transport (tpNexthop, tpMx) VALUES ('mx.relay.example', 0);
INSERT INTO Domain (domName, domTpNum, domClass, domRcNum) VALUES
  ('relay.example', (SELECT tpNum FROM Transport WHERE tpNexthop IS 'mx.relay.example'), 2, 20);

-- A virtual alias domain: every address leads to one elsewhere.
INSERT INTO Domain (domName, domClass, domRcNum) VALUES ('alias.example', 3, 20);

-- A virtual mailbox domain: its users are rows here, its files belong to UID 842.
INSERT INTO Domain (domName, domClass, domSysUser, domRcNum) VALUES ('vmail.example', 842, 1007, 20);

-- A domain whose every address leads to one mailbox.
INSERT INTO Domain (domName, domClass, domRcNum) VALUES ('catchall.example', 3, 40);

INSERT INTO Address (addLocalpart, addDomNum, addRcNum)
SELECT column1, domNum, column3 FROM (VALUES
  ('joe',        'vmail.example',    NULL),
  ('ann',        'vmail.example',    NULL),
  ('strict',     'vmail.example',    0),
  ('open',       'vmail.example',    99),
  ('sales',      'alias.example',    NULL),
  ('everybody',  'alias.example',    NULL),
  ('user',       'relay.example',    NULL),
  ('',           'catchall.example', NULL),
  ('postmaster', 'vmail.example', NULL), ('abuse', 'vmail.example', NULL),
  ('postmaster', 'alias.example', NULL), ('abuse', 'alias.example', NULL),
  ('postmaster', 'relay.example', NULL), ('abuse', 'relay.example', NULL)
) JOIN Domain ON domName = column2;

INSERT INTO VMailbox (vmNum, vmPasswd)
SELECT addNum, column3 FROM (VALUES
  ('joe',    'vmail.example', '{PLAIN}joes-secret'),
  ('ann',    'vmail.example', '{PLAIN}anns-secret'),
  ('strict', 'vmail.example', NULL),
  ('open',   'vmail.example', NULL)
) JOIN Domain ON domName = column2 JOIN Address ON addDomNum = domNum AND addLocalpart = column1;

INSERT INTO VAlias (vaNum, vaTargetNum)
SELECT a.addNum, b.addNum FROM (VALUES
  ('sales',      'alias.example',    'joe'),
  ('everybody',  'alias.example',    'joe'),
  ('everybody',  'alias.example',    'ann'),
  ('',           'catchall.example', 'joe'),
  ('postmaster', 'vmail.example', 'joe'), ('abuse', 'vmail.example', 'joe'),
  ('postmaster', 'alias.example', 'joe'), ('abuse', 'alias.example', 'joe'),
  ('postmaster', 'relay.example', 'joe'), ('abuse', 'relay.example', 'joe')
) JOIN Domain d ON d.domName = column2 JOIN Address a ON a.addDomNum = d.domNum AND a.addLocalpart = column1
  JOIN Domain e ON e.domName = 'vmail.example' JOIN Address b ON b.addDomNum = e.domNum AND b.addLocalpart = column3;
