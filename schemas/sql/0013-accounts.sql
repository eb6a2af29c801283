-- Whose people belong to which accounts of applications; lists of users by one thing. Version 13.
--
-- account is the row of a resource of type 'accounts', which is never given twice. Where very many people belong to
-- one that is removed, their ties go in pieces: as long as there are any it stands in account_removed, and since the
-- resource is gone nobody sees them.

CREATE TABLE account_user (
	account INTEGER NOT NULL,
	user INTEGER NOT NULL,
	since_s INTEGER NOT NULL,
	PRIMARY KEY (account, user)
) STRICT, WITHOUT ROWID;
-- In order of account within a user, for the key is part of it.
CREATE INDEX account_of_user ON account_user (user);
CREATE TABLE account_removed (account INTEGER PRIMARY KEY) STRICT;

-- Each in order of id within what it is about: a page of a list is where the last one ended. New users are appended
-- at one of few places.
CREATE INDEX user_organization ON user (organization);
CREATE INDEX user_profile ON user (profile);
CREATE INDEX user_inactive_id ON user (id) WHERE (disabled & 255) <> 0;
