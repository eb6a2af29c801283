-- Links that root makes for administrators who cannot sign in otherwise. Version 19.
--
-- One for each user at most: a newer one takes the place of the one before; who uses it takes it away. What a link
-- looks like is made from a key that is not here.

CREATE TABLE login_link (
	user INTEGER PRIMARY KEY,
	uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),
	until_s INTEGER NOT NULL
) STRICT;

-- Opened by such a link: good also for the last administrator, whom the source disabled.
ALTER TABLE session ADD COLUMN by_link INTEGER NOT NULL DEFAULT 0 CHECK (by_link IN (0, 1));

-- How many there are of each method, without a look at each.
CREATE INDEX factor_method ON factor (method) WHERE confirmed_s <> 0;
