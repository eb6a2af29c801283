-- Who signed in when, and what they used. Version 10.
--
-- Days are those of UTC since 1970. A sign-in is counted once: with others when its session is brought to
-- the indexes of session (0003-appended.sql), or when it ends before. Sessions after counter 'indexed-session'
-- are not in here: a reader looks through them. The last day of a user stays for good.

CREATE TABLE sign_in (
	user INTEGER NOT NULL,
	day INTEGER NOT NULL,
	n INTEGER NOT NULL,
	last_s INTEGER NOT NULL,
	PRIMARY KEY (user, day)
) STRICT, WITHOUT ROWID;
INSERT INTO sign_in (user, day, n, last_s)
SELECT user, created_s / 86400, count(*), max(created_s) FROM session NOT INDEXED
WHERE indexed = 1 GROUP BY 1, 2;

-- What applications have that people use. Rows never leave it.
CREATE TABLE feature (
	id INTEGER PRIMARY KEY,
	application INTEGER NOT NULL, -- name
	name TEXT NOT NULL CHECK (name <> ''),
	UNIQUE (application, name)
) STRICT;

CREATE TABLE feature_use (
	user INTEGER NOT NULL,
	day INTEGER NOT NULL,
	feature INTEGER NOT NULL,
	n INTEGER NOT NULL,
	PRIMARY KEY (user, day, feature)
) STRICT, WITHOUT ROWID;

-- Requests that an application gave a name, so that one that comes again is not counted twice. done: so many
-- of its events were looked at, in the same transactions that counted them.
CREATE TABLE event_batch (
	row INTEGER PRIMARY KEY AUTOINCREMENT,
	application INTEGER NOT NULL, -- name
	id BLOB NOT NULL CHECK (length(id) = 16),
	content BLOB NOT NULL CHECK (length(content) = 16),
	at_s INTEGER NOT NULL,
	done INTEGER NOT NULL,
	UNIQUE (application, id)
) STRICT;

-- Since the first start.
INSERT INTO counter (name, value) VALUES ('events', 0), ('events-refused', 0);
