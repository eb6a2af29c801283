-- Stages of signing in, remembered devices, and who must prove a second factor. Version 17.
--
--	session	stage: 0 full, 1 a second factor is to be proven, 2 may only enrol one; such a session is no sign-in yet,
--		and is counted once it is full. factor: the method that proved the second one, 0: none. full_until_s: of a
--		session that is not full, the end that it will have. signed_in_s: the first factor was last given, 0: when
--		the session was created

ALTER TABLE session ADD COLUMN stage INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN factor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN full_until_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN signed_in_s INTEGER NOT NULL DEFAULT 0;
-- What identity providers said before.
UPDATE session SET factor = 16 WHERE second_factor_s <> 0;

-- Browsers that are remembered: what they stand for is one proof, by this method, at this time.
CREATE TABLE device (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
	user INTEGER NOT NULL REFERENCES user (id),
	method INTEGER NOT NULL CHECK (method BETWEEN 1 AND 4),
	proven_s INTEGER NOT NULL,
	agent TEXT NOT NULL,
	address TEXT NOT NULL,
	created_s INTEGER NOT NULL,
	seen_s INTEGER NOT NULL,
	until_s INTEGER NOT NULL
) STRICT;
CREATE INDEX device_user ON device (user);
CREATE INDEX device_until ON device (until_s);

-- Where no file says it. version grows with each change.
CREATE TABLE factor_policy (
	organization TEXT PRIMARY KEY CHECK (organization <> ''),
	body TEXT NOT NULL,
	version INTEGER NOT NULL,
	set_s INTEGER NOT NULL
) STRICT;

-- Sign-ins of people without a method while one was required, since the policy is what it is.
CREATE TABLE factor_grace (
	user INTEGER PRIMARY KEY REFERENCES user (id),
	since_s INTEGER NOT NULL,
	sign_ins INTEGER NOT NULL
) STRICT;
