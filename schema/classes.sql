-- The restriction classes that a new server begins with. Rows that are there
-- already stay as they are. Loads in the sqlite3 shell.
--
-- Low numbers refuse more. Components (z-...) are used by the composites
-- (RCnn-name); both are ordinary rows, to be changed at will.

INSERT OR IGNORE INTO RClass (rcNum, rcName) VALUES
  (0,  'reject'),       -- nobody may write
  (1,  'nuts'),
  (10, 'aggressive'),
  (20, 'moderate'),
  (30, 'conservative'), -- setting default_rclass
  (40, 'weak'),
  (50, 'blocked'),      -- as 0: the number that blocked an address in 2012
  (99, 'open');         -- everybody may write; still no relay

INSERT OR IGNORE INTO Restriction (rsName, rsList) VALUES
  ('z-helo',    'reject_invalid_helo_hostname'),
  ('z-helofq',  'reject_non_fqdn_helo_hostname'),
  ('z-unlist',  'reject_unlisted_recipient'),
  ('z-sender',  'reject_non_fqdn_sender, reject_unlisted_sender'),
  ('z-noFCrDns','reject_unknown_client_hostname'),
  ('z-noPtr',   'reject_unknown_reverse_client_hostname'),
  ('z-pipe',    'reject_unauth_pipelining'),
  ('z-bscat',   'check_sender_access bscat'),
  ('z-common',  'z-helo, z-unlist, z-sender');

INSERT OR IGNORE INTO Restriction (rsName, rsList) VALUES
  ('RC00-reject',       'reject'),
  ('RC01-nuts',         'z-common, z-helofq, z-pipe, z-noFCrDns, z-bscat'),
  ('RC10-aggressive',   'z-common, z-helofq, z-pipe, z-noFCrDns, z-bscat'),
  ('RC20-moderate',     'z-common, z-noPtr, z-bscat'),
  ('RC30-conservative', 'z-common, warn_if_reject z-noPtr, warn_if_reject z-bscat'),
  ('RC40-weak',         'z-common'),
  ('RC50-blocked',      'reject'),
  ('RC99-open',         'permit');
