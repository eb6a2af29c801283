-- Who did it and whom else it is about, in audit_about; and old rows that may go. Version 12.
--
--	audit_about	keys of a row: its object (as before); the number of its actor, when that is a person (user:…,
--			unix:…); the UUID of a person who did it, of whom its object is a part (user:UUID/…), or
--			whom its detail names as user, owner or to
--	audit_anchor	rows up to seq went; hash is that of the last of them, and the next row's hash follows it. The
--			last row audit.prune tells the same.

INSERT OR IGNORE INTO audit_about (object, seq)
SELECT a.actor, a.seq FROM audit a CROSS JOIN name n ON n.id = a.actor
WHERE a.seq <= (SELECT value FROM counter WHERE name = 'indexed-audit')
AND (n.text GLOB 'user:*' OR n.text GLOB 'unix:*')
UNION ALL SELECT user_of(n.text), a.seq FROM audit a CROSS JOIN name n ON n.id = a.actor
WHERE a.seq <= (SELECT value FROM counter WHERE name = 'indexed-audit')
AND n.text GLOB 'user:*' AND user_of(n.text) IS NOT NULL
UNION ALL SELECT user_mention(a.detail, a.object, k.column1), a.seq
FROM audit a CROSS JOIN (VALUES (0), (1), (2), (3)) k
WHERE a.seq <= (SELECT value FROM counter WHERE name = 'indexed-audit')
AND (typeof(a.object) = 'text' OR a.action = (SELECT id FROM name WHERE text = 'user.reassign'))
AND user_mention(a.detail, a.object, k.column1) IS NOT NULL
ORDER BY 1, 2;

CREATE TABLE audit_anchor (
	id INTEGER PRIMARY KEY CHECK (id = 1),
	seq INTEGER NOT NULL,
	hash BLOB NOT NULL CHECK (length(hash) = 32),
	at_s INTEGER NOT NULL,
	moved_s INTEGER NOT NULL
) STRICT;
INSERT INTO audit_anchor (id, seq, hash, at_s, moved_s) VALUES (1, 0, zeroblob(32), 0, 0);

CREATE TRIGGER audit_anchor_no_insert BEFORE INSERT ON audit_anchor
BEGIN
	SELECT raise(ABORT, 'the audit log has one anchor');
END;
CREATE TRIGGER audit_anchor_no_delete BEFORE DELETE ON audit_anchor
BEGIN
	SELECT raise(ABORT, 'the audit log has one anchor');
END;
CREATE TRIGGER audit_anchor_forward BEFORE UPDATE ON audit_anchor
WHEN NEW.seq <= OLD.seq OR NEW.hash IS NOT (SELECT hash FROM audit WHERE seq = NEW.seq)
BEGIN
	SELECT raise(ABORT, 'the anchor of the audit log moves forward, to a row that is there');
END;
DROP TRIGGER audit_no_delete;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
WHEN OLD.seq > (SELECT seq FROM audit_anchor)
BEGIN
	SELECT raise(ABORT, 'audit rows after the anchor are never removed');
END;

-- Alarms up to this one were mailed, or are older than that; those that are open now are not told again.
INSERT INTO meta (name, value) SELECT 'alarm-mailed', CAST(coalesce(max(id), 0) AS TEXT) FROM alarm;
