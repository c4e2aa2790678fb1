--
-- PostgreSQL database dump
--

\restrict BDCtGFDZYvflbjolIOrbrF2AoWCd1TTXPic48Tucoeag9USDXFtZYv6UAtDfcJ0

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Data for Name: admin; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.admin (username, password, superadmin, active) VALUES ('root@example.org', 'x', false, true);


--
-- Data for Name: alias; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.alias (address, goto, domain, created, active) VALUES ('joe@example.org', 'joe@example.org', 'example.org', '2000-01-01 00:00:00', true);
INSERT INTO public.alias (address, goto, domain, created, active) VALUES ('sales@example.org', 'joe@example.org,ann@example.org', 'example.org', '2000-01-01 00:00:00', true);
INSERT INTO public.alias (address, goto, domain, created, active) VALUES ('ann@example.org', 'ann@example.org', 'example.org', '2000-01-01 00:00:00', true);
INSERT INTO public.alias (address, goto, domain, created, active) VALUES ('o''brien@example.org', 'joe@example.org', 'example.org', '2000-01-01 00:00:00', true);
INSERT INTO public.alias (address, goto, domain, created, active) VALUES ('new@example.org', 'joe@example.org', 'example.org', '2000-01-01 00:00:00', true);


--
-- Data for Name: alias_domain; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.alias_domain (alias_domain, target_domain, active) VALUES ('example.net', 'example.org', true);


--
-- Data for Name: domain; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.domain (domain, description, aliases, mailboxes, maxquota, quota, transport, backupmx, created, modified, active, password_expiry) VALUES ('ALL', '', 0, 0, 0, 0, '', false, '2000-01-01 00:00:00', '2000-01-01 00:00:00', true, 0);
INSERT INTO public.domain (domain, description, aliases, mailboxes, maxquota, quota, transport, backupmx, created, modified, active, password_expiry) VALUES ('example.org', 'Bob''s \n "place"; ü', 0, 0, 0, 0, 'virtual', false, '2000-01-01 00:00:00', '2000-01-01 00:00:00', true, 0);
INSERT INTO public.domain (domain, description, aliases, mailboxes, maxquota, quota, transport, backupmx, created, modified, active, password_expiry) VALUES ('example.net', '', 0, 0, 0, 0, 'virtual', false, '2000-01-01 00:00:00', '2000-01-01 00:00:00', true, 0);
INSERT INTO public.domain (domain, description, aliases, mailboxes, maxquota, quota, transport, backupmx, created, modified, active, password_expiry) VALUES ('backup.example', '', 0, 0, 0, 0, 'smtp:[127.0.0.1]:1', true, '2000-01-01 00:00:00', '2000-01-01 00:00:00', true, 0);


--
-- Data for Name: mailbox; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.mailbox (username, password, name, maildir, quota, local_part, domain, created, modified, active, token) VALUES ('joe@example.org', '{PLAIN}pass', '', 'example.org/joe/', 1024000, 'joe', 'example.org', '2000-01-01 00:00:00', '2000-01-01 00:00:00', true, '');
INSERT INTO public.mailbox (username, password, name, maildir, quota, local_part, domain, created, modified, active, token) VALUES ('ann@example.org', '{PLAIN}pass', '', 'example.org/ann/', 0, 'ann', 'example.org', '2000-01-01 00:00:00', '2000-01-01 00:00:00', true, '');
INSERT INTO public.mailbox (username, password, name, maildir, quota, local_part, domain, created, modified, active, token) VALUES ('off@example.org', '{PLAIN}pass', '', 'example.org/off/', 0, 'off', 'example.org', '2000-01-01 00:00:00', '2000-01-01 00:00:00', false, '');


--
-- Data for Name: quota2; Type: TABLE DATA; Schema: public; Owner: postgres
--



--
-- PostgreSQL database dump complete
--
