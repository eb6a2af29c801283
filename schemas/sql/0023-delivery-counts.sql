-- How much waits for each target, counted where rows come and go. Version 23.
--
-- The counts are asked for at every look at metrics and status: they must not cost more the more there waits. The
-- triggers keep them, so that no road to the rows can forget to.

CREATE TABLE delivery_count (
	target INTEGER PRIMARY KEY,
	waiting INTEGER NOT NULL,
	failing INTEGER NOT NULL, -- of the waiting ones
	dead INTEGER NOT NULL
) STRICT;
INSERT INTO delivery_count (target, waiting, failing, dead)
	SELECT target, sum(dead_s = 0), sum(dead_s = 0 AND attempts > 0), sum(dead_s <> 0)
	FROM delivery GROUP BY target;

CREATE TRIGGER delivery_counted AFTER INSERT ON delivery
BEGIN
	INSERT INTO delivery_count (target, waiting, failing, dead)
		VALUES (NEW.target, NEW.dead_s = 0, NEW.dead_s = 0 AND NEW.attempts > 0, NEW.dead_s <> 0)
		ON CONFLICT (target) DO UPDATE SET waiting = waiting + excluded.waiting,
			failing = failing + excluded.failing, dead = dead + excluded.dead;
END;
CREATE TRIGGER delivery_recounted AFTER UPDATE OF dead_s, attempts ON delivery
WHEN (OLD.dead_s = 0) <> (NEW.dead_s = 0) OR (OLD.attempts > 0) <> (NEW.attempts > 0)
BEGIN
	UPDATE delivery_count SET waiting = waiting + (NEW.dead_s = 0) - (OLD.dead_s = 0),
		failing = failing + (NEW.dead_s = 0 AND NEW.attempts > 0) - (OLD.dead_s = 0 AND OLD.attempts > 0),
		dead = dead + (NEW.dead_s <> 0) - (OLD.dead_s <> 0)
		WHERE target = NEW.target;
END;
CREATE TRIGGER delivery_uncounted AFTER DELETE ON delivery
BEGIN
	UPDATE delivery_count SET waiting = waiting - (OLD.dead_s = 0),
		failing = failing - (OLD.dead_s = 0 AND OLD.attempts > 0), dead = dead - (OLD.dead_s <> 0)
		WHERE target = OLD.target;
END;

-- The oldest one that waits is the first of these, but for those for which all is well until later.
CREATE INDEX delivery_age ON delivery (target, created_s) WHERE dead_s = 0;
