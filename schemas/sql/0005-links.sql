-- What persons said about whose an identity is. Version 5.
--
--	wanted = 1	it is this user's from the next time it is read on; gone once it is stored so
--	wanted = 0	it was taken from this user, and no rule links it to them again

CREATE TABLE link_by_hand (
	source INTEGER NOT NULL,
	key ANY NOT NULL,
	user INTEGER NOT NULL,
	wanted INTEGER NOT NULL CHECK (wanted IN (0, 1)),
	PRIMARY KEY (source, key, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX link_by_hand_user ON link_by_hand (user);
CREATE UNIQUE INDEX link_by_hand_wanted ON link_by_hand (source, key) WHERE wanted = 1;
