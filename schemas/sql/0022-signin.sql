-- Sessions that are looked at again, and codes that are sent. Version 22.
--
--	session	device_by: of a session that a remembered browser proved the second factor of, the method that the browser
--		stands for; 0: none, or not known. counted: 1: it was full, was counted as a sign-in, and went back to an
--		earlier stage. idp_asked: 1: the identity provider was asked to prove a second factor

ALTER TABLE session ADD COLUMN device_by INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN idp_asked INTEGER NOT NULL DEFAULT 0;

-- The last code that was sent for a factor in a session, as before of a factor: who has somebody's password does not make
-- them wait by having codes sent. Those that are under way are void.
DROP TABLE challenge;
CREATE TABLE challenge (
	factor INTEGER NOT NULL REFERENCES factor (id) ON DELETE CASCADE,
	session INTEGER NOT NULL,
	generation INTEGER NOT NULL,
	sent_s INTEGER NOT NULL,
	until_s INTEGER NOT NULL,
	tries INTEGER NOT NULL,
	sends INTEGER NOT NULL,
	used INTEGER NOT NULL,
	PRIMARY KEY (factor, session)
) STRICT, WITHOUT ROWID;
CREATE INDEX challenge_sent ON challenge (sent_s);
