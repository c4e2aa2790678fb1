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

ALTER TABLE ONLY public.mailbox DROP CONSTRAINT mailbox_domain_fkey;
ALTER TABLE ONLY public.quota2 DROP CONSTRAINT quota2_pkey;
ALTER TABLE ONLY public.mailbox DROP CONSTRAINT mailbox_pkey;
ALTER TABLE ONLY public.domain DROP CONSTRAINT domain_pkey;
ALTER TABLE ONLY public.alias DROP CONSTRAINT alias_pkey;
ALTER TABLE ONLY public.alias_domain DROP CONSTRAINT alias_domain_pkey;
ALTER TABLE ONLY public.admin DROP CONSTRAINT admin_pkey;
DROP TABLE public.quota2;
DROP TABLE public.mailbox;
DROP TABLE public.domain;
DROP TABLE public.alias_domain;
DROP TABLE public.alias;
DROP TABLE public.admin;
SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: admin; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.admin (
    username character varying(255) NOT NULL,
    password character varying(255) NOT NULL,
    superadmin boolean DEFAULT false NOT NULL,
    active boolean DEFAULT true NOT NULL
);


ALTER TABLE public.admin OWNER TO postgres;

--
-- Name: alias; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.alias (
    address character varying(255) NOT NULL,
    goto text NOT NULL,
    domain character varying(255) NOT NULL,
    created timestamp without time zone DEFAULT '2000-01-01 00:00:00'::timestamp without time zone NOT NULL,
    active boolean DEFAULT true NOT NULL
);


ALTER TABLE public.alias OWNER TO postgres;

--
-- Name: alias_domain; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.alias_domain (
    alias_domain character varying(255) NOT NULL,
    target_domain character varying(255) NOT NULL,
    active boolean DEFAULT true NOT NULL
);


ALTER TABLE public.alias_domain OWNER TO postgres;

--
-- Name: domain; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.domain (
    domain character varying(255) NOT NULL,
    description character varying(255) DEFAULT ''::character varying NOT NULL,
    aliases integer DEFAULT 0 NOT NULL,
    mailboxes integer DEFAULT 0 NOT NULL,
    maxquota bigint DEFAULT 0 NOT NULL,
    quota bigint DEFAULT 0 NOT NULL,
    transport character varying(255) DEFAULT NULL::character varying,
    backupmx boolean DEFAULT false NOT NULL,
    created timestamp without time zone DEFAULT '2000-01-01 00:00:00'::timestamp without time zone NOT NULL,
    modified timestamp without time zone DEFAULT '2000-01-01 00:00:00'::timestamp without time zone NOT NULL,
    active boolean DEFAULT true NOT NULL,
    password_expiry integer DEFAULT 0
);


ALTER TABLE public.domain OWNER TO postgres;

--
-- Name: mailbox; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.mailbox (
    username character varying(255) NOT NULL,
    password character varying(255) NOT NULL,
    name character varying(255) DEFAULT ''::character varying NOT NULL,
    maildir character varying(255) DEFAULT ''::character varying NOT NULL,
    quota bigint DEFAULT 0 NOT NULL,
    local_part character varying(255) DEFAULT ''::character varying NOT NULL,
    domain character varying(255) NOT NULL,
    created timestamp without time zone DEFAULT '2000-01-01 00:00:00'::timestamp without time zone NOT NULL,
    modified timestamp without time zone DEFAULT '2000-01-01 00:00:00'::timestamp without time zone NOT NULL,
    active boolean DEFAULT true NOT NULL,
    token character varying(255) DEFAULT ''::character varying NOT NULL
);


ALTER TABLE public.mailbox OWNER TO postgres;

--
-- Name: quota2; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.quota2 (
    username character varying(100) NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    messages integer DEFAULT 0 NOT NULL
);


ALTER TABLE public.quota2 OWNER TO postgres;

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
-- Name: admin admin_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.admin
    ADD CONSTRAINT admin_pkey PRIMARY KEY (username);


--
-- Name: alias_domain alias_domain_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.alias_domain
    ADD CONSTRAINT alias_domain_pkey PRIMARY KEY (alias_domain);


--
-- Name: alias alias_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.alias
    ADD CONSTRAINT alias_pkey PRIMARY KEY (address);


--
-- Name: domain domain_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.domain
    ADD CONSTRAINT domain_pkey PRIMARY KEY (domain);


--
-- Name: mailbox mailbox_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.mailbox
    ADD CONSTRAINT mailbox_pkey PRIMARY KEY (username);


--
-- Name: quota2 quota2_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.quota2
    ADD CONSTRAINT quota2_pkey PRIMARY KEY (username);


--
-- Name: mailbox mailbox_domain_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.mailbox
    ADD CONSTRAINT mailbox_domain_fkey FOREIGN KEY (domain) REFERENCES public.domain(domain);


--
-- Name: TABLE admin; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.admin TO mail;


--
-- Name: TABLE alias; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.alias TO mail;


--
-- Name: TABLE alias_domain; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.alias_domain TO mail;


--
-- Name: TABLE domain; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.domain TO mail;


--
-- Name: TABLE mailbox; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.mailbox TO mail;


--
-- Name: TABLE quota2; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.quota2 TO mail;


--
-- PostgreSQL database dump complete
--

\unrestrict BDCtGFDZYvflbjolIOrbrF2AoWCd1TTXPic48Tucoeag9USDXFtZYv6UAtDfcJ0

