-- Passwords of people who sign in here. Version 16.
--
--	version	grows with each password of a user: what was verified before and is asked about now is the same one
--	by_mail	it was set with nothing but a link that was mailed, and no other proof was given since

CREATE TABLE password (
	user INTEGER PRIMARY KEY REFERENCES user (id),
	hash TEXT NOT NULL CHECK (hash <> ''), -- Argon2id with its parameters, as libsodium writes it
	version INTEGER NOT NULL,
	by_mail INTEGER NOT NULL,
	set_s INTEGER NOT NULL
) STRICT;

-- The last link to set a new password, of each user: as with invites nothing of it is kept. A new generation makes
-- the links before it void, and so does another address than the one it was sent to.
--
--	ended	0 open until expires_s; 1 used; 2 void, since the password was changed otherwise

CREATE TABLE password_reset (
	user INTEGER PRIMARY KEY REFERENCES user (id),
	uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
	generation INTEGER NOT NULL,
	email TEXT NOT NULL CHECK (email <> ''),
	sent_s INTEGER NOT NULL,
	expires_s INTEGER NOT NULL,
	mailed_s INTEGER NOT NULL,
	mail_problem TEXT NOT NULL,
	ended INTEGER NOT NULL CHECK (ended BETWEEN 0 AND 2),
	ended_s INTEGER NOT NULL
) STRICT;
