-- The restriction classes that init writes. Components are called z-..., what
-- domains and addresses are given has a number: low lets little spam through.
-- Lists may name any restriction, access tables, and other classes.

INSERT INTO RClass (rcNum, rcName) VALUES
  (0, 'reject'), (1, 'nuts'), (10, 'aggressive'), (20, 'moderate'), (30, 'conservative'), (40, 'weak'), (50, 'open');

INSERT INTO Restriction (rsName, rsList) VALUES
  ('z-helo',     'reject_invalid_helo_hostname'),
  ('z-fqdnHelo', 'reject_non_fqdn_helo_hostname'),
  ('z-sender',   'reject_non_fqdn_sender'),
  ('z-unlist',   'reject_unlisted_recipient'),
  ('z-common',   'z-helo, z-unlist, z-sender'),

  ('RC00-reject',       'reject'),
  ('RC01-nuts',         'z-common, z-fqdnHelo, reject_unauth_pipelining, reject_unlisted_sender'),
  ('RC10-aggressive',   'z-common, z-fqdnHelo, reject_unauth_pipelining, warn_if_reject reject_unlisted_sender'),
  ('RC20-moderate',     'z-common, z-fqdnHelo'),
  ('RC30-conservative', 'z-common, warn_if_reject z-fqdnHelo'),
  ('RC40-weak',         'z-common'),
  ('RC50-open',         'permit');
