-- The restriction classes that a new server begins with. Rows that are there
-- already stay as they are. Loads in the sqlite3 shell.
--
-- Low numbers refuse more. Components (z-...) are used by the composites
-- (RCnn-name); both are ordinary rows, to be changed at will. DNS lists need a
-- resolver of one's own: through a public one most of them say "unusable",
-- which refuses nobody. From moderate down nothing waits for the DNS: a
-- resolver that is gone costs protection, not mail.

INSERT OR IGNORE INTO RClass (rcNum, rcName) VALUES
  (0,  'reject'),       -- nobody may write
  (1,  'nuts'),
  (10, 'aggressive'),
  (20, 'moderate'),
  (30, 'conservative'), -- setting default_rclass
  (40, 'weak'),
  (50, 'blocked'),      -- as 0: the number that blocked an address in 2012
  (99, 'open');         -- everybody may write; still no relay

-- What the client says, and what the DNS knows of it.
INSERT OR IGNORE INTO Restriction (rsName, rsList) VALUES
  ('z-helo',     'reject_invalid_helo_hostname'),
  ('z-fqdnHelo', 'reject_non_fqdn_helo_hostname'),
  ('z-unkHelo',  'reject_unknown_helo_hostname'),
  ('z-unlist',   'reject_unlisted_recipient'),
  ('z-sender',   'reject_non_fqdn_sender, reject_unlisted_sender'),
  ('z-noSender', 'reject_unknown_sender_domain'),
  ('z-noPtr',    'reject_unknown_reverse_client_hostname'),
  ('z-noFCrDns', 'reject_unknown_client_hostname'),
  ('z-pipe',     'reject_unauth_pipelining');

-- Lists that block, by address and by domain.
INSERT OR IGNORE INTO Restriction (rsName, rsList) VALUES
  ('z-zen',      'reject_rbl_client zen.spamhaus.org=127.0.0.[2..11]'),
  ('z-spamcop',  'reject_rbl_client bl.spamcop.net=127.0.0.2'),
  ('z-psbl',     'reject_rbl_client psbl.surriel.com=127.0.0.2'),
  ('z-mailspike','reject_rbl_client bl.mailspike.net=127.0.0.[2;10..12]'),
  ('z-brbl',     'reject_rbl_client b.barracudacentral.org=127.0.0.2'),
  ('z-dblC',     'reject_rhsbl_client dbl.spamhaus.org=127.0.1.[2..99]'),
  ('z-dblH',     'reject_rhsbl_helo dbl.spamhaus.org=127.0.1.[2..99]'),
  ('z-dblS',     'reject_rhsbl_sender dbl.spamhaus.org=127.0.1.[2..99]'),
  ('z-bscatOrg', 'reject_rbl_client ips.backscatterer.org=127.0.0.2'),
  ('z-bscat',    'check_sender_access bscat');

-- A list that allows: hosts that are known to send mail people want.
INSERT OR IGNORE INTO Restriction (rsName, rsList) VALUES
  ('z-dnswlHi',  'permit_dnswl_client list.dnswl.org=127.0.[0..255].[3..99]'),
  ('z-dnswlMed', 'permit_dnswl_client list.dnswl.org=127.0.[0..255].[2..99]'),
  ('z-dnswlLo',  'permit_dnswl_client list.dnswl.org=127.0.[0..255].[1..99]'),
  ('z-dnswlAll', 'permit_dnswl_client list.dnswl.org=127.0.[0..255].[0..99]');

INSERT OR IGNORE INTO Restriction (rsName, rsList) VALUES
  ('z-common',   'z-helo, z-unlist, z-sender, z-zen'),
  ('RC00-reject',       'reject'),
  ('RC01-nuts',         'z-common, z-noSender, z-fqdnHelo, z-pipe, z-noFCrDns, z-unkHelo, z-dblC, z-dblH, z-dblS, z-brbl, z-mailspike, z-psbl, z-spamcop, z-bscat'),
  ('RC10-aggressive',   'z-common, z-noSender, z-fqdnHelo, z-pipe, z-noFCrDns, warn_if_reject z-unkHelo, z-dblC, z-dblH, z-dblS, z-dnswlHi, z-brbl, z-mailspike, z-dnswlMed, z-psbl, z-dnswlAll, z-spamcop, z-bscat'),
  ('RC20-moderate',     'z-common, warn_if_reject z-noSender, z-noPtr, z-dblS, z-dblH, z-dblC, z-dnswlLo, z-mailspike, z-psbl, z-bscat'),
  ('RC30-conservative', 'z-common, warn_if_reject z-noSender, warn_if_reject z-noPtr, z-dblC, z-dblH, z-dblS, z-dnswlAll, z-mailspike, warn_if_reject z-bscat'),
  ('RC40-weak',         'z-common'),
  ('RC50-blocked',      'reject'),
  ('RC99-open',         'permit');

-- Senders of mail that may be backscatter: asked of the hosts that send it.
INSERT OR IGNORE INTO BScat (bsSender, bsPriority, bsTarget) VALUES
  ('<>', 10, 'z-bscatOrg'), ('postmaster@', 10, 'z-bscatOrg'), ('mailer-daemon@', 10, 'z-bscatOrg');
