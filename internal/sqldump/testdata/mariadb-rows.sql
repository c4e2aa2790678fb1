/*M!999999\- enable the sandbox mode */ 
-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: postfix
-- ------------------------------------------------------
-- Server version	10.11.19-MariaDB-0+deb12u1

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET @OLD_CHARACTER_SET_RESULTS=@@CHARACTER_SET_RESULTS */;
/*!40101 SET @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION */;
/*!40101 SET NAMES utf8mb4 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;

--
-- Dumping data for table `admin`
--

LOCK TABLES admin WRITE;
/*!40000 ALTER TABLE admin DISABLE KEYS */;
INSERT INTO admin (username, password, superadmin, active) VALUES ('root@example.org','x',0,1);
/*!40000 ALTER TABLE admin ENABLE KEYS */;
UNLOCK TABLES;

--
-- Dumping data for table `alias`
--

LOCK TABLES alias WRITE;
/*!40000 ALTER TABLE alias DISABLE KEYS */;
INSERT INTO alias (address, goto, domain, created, active) VALUES ('ann@example.org','ann@example.org','example.org','2000-01-01 00:00:00',1),
('joe@example.org','joe@example.org','example.org','2000-01-01 00:00:00',1),
('new@example.org','joe@example.org','example.org','2000-01-01 00:00:00',1),
('o\'brien@example.org','joe@example.org','example.org','2000-01-01 00:00:00',1),
('sales@example.org','joe@example.org,ann@example.org','example.org','2000-01-01 00:00:00',1);
/*!40000 ALTER TABLE alias ENABLE KEYS */;
UNLOCK TABLES;

--
-- Dumping data for table `alias_domain`
--

LOCK TABLES alias_domain WRITE;
/*!40000 ALTER TABLE alias_domain DISABLE KEYS */;
INSERT INTO alias_domain (alias_domain, target_domain, active) VALUES ('example.net','example.org',1);
/*!40000 ALTER TABLE alias_domain ENABLE KEYS */;
UNLOCK TABLES;

--
-- Dumping data for table `domain`
--

LOCK TABLES domain WRITE;
/*!40000 ALTER TABLE domain DISABLE KEYS */;
INSERT INTO domain (domain, description, aliases, mailboxes, maxquota, quota, transport, backupmx, created, modified, active, password_expiry) VALUES ('ALL','',0,0,0,0,'',0,'2000-01-01 00:00:00','2000-01-01 00:00:00',1,0),
('backup.example','',0,0,0,0,'smtp:[127.0.0.1]:1',1,'2000-01-01 00:00:00','2000-01-01 00:00:00',1,0),
('example.net','',0,0,0,0,'virtual',0,'2000-01-01 00:00:00','2000-01-01 00:00:00',1,0),
('example.org','Bob\'s \n \"place\"; ü',0,0,0,0,'virtual',0,'2000-01-01 00:00:00','2000-01-01 00:00:00',1,0);
/*!40000 ALTER TABLE domain ENABLE KEYS */;
UNLOCK TABLES;

--
-- Dumping data for table `mailbox`
--

LOCK TABLES mailbox WRITE;
/*!40000 ALTER TABLE mailbox DISABLE KEYS */;
INSERT INTO mailbox (username, password, name, maildir, quota, local_part, domain, created, modified, active, token) VALUES ('ann@example.org','{PLAIN}pass','','example.org/ann/',0,'ann','example.org','2000-01-01 00:00:00','2000-01-01 00:00:00',1,''),
('joe@example.org','{PLAIN}pass','','example.org/joe/',1024000,'joe','example.org','2000-01-01 00:00:00','2000-01-01 00:00:00',1,''),
('off@example.org','{PLAIN}pass','','example.org/off/',0,'off','example.org','2000-01-01 00:00:00','2000-01-01 00:00:00',0,'');
/*!40000 ALTER TABLE mailbox ENABLE KEYS */;
UNLOCK TABLES;

--
-- Dumping data for table `quota2`
--

LOCK TABLES quota2 WRITE;
/*!40000 ALTER TABLE quota2 DISABLE KEYS */;
/*!40000 ALTER TABLE quota2 ENABLE KEYS */;
UNLOCK TABLES;
/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;

/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;
/*!40101 SET CHARACTER_SET_RESULTS=@OLD_CHARACTER_SET_RESULTS */;
/*!40101 SET COLLATION_CONNECTION=@OLD_COLLATION_CONNECTION */;
/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;

-- Dump completed on 2026-11-21 15:02:07
