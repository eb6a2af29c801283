-- Times at which a source disables somebody without saying anything more. Version 4.
--
-- A row is a reason to look, not a decision: whoever is looked at is judged by the records that stand then.

CREATE TABLE disable_due (
	at_s INTEGER NOT NULL,
	source INTEGER NOT NULL,
	user INTEGER NOT NULL,
	PRIMARY KEY (at_s, source, user)
) STRICT, WITHOUT ROWID;
