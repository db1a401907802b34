-- A store of format 1: records did not tell when they were changed. Sealed with
-- the key of 32 bytes 01.
CREATE TABLE store (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id BLOB NOT NULL,
    probe BLOB NOT NULL,
    opened_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE record (
    key TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    lease_owner TEXT,
    lease_fencing INTEGER,
    lease_deadline INTEGER,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO store VALUES (1, x'07070707070707070707070707070707', x'433520da097aaa708e7bb5dbec677fe3b6b892bf5f68d93efca66185f54b24f9e9ba7fe4e9a3292fd7472c6339a5d4', 1700000000000);
INSERT INTO record VALUES ('account/one', 3, 'me', 7, 1700000000123, x'ed18a9748bd6ac8d4e74e73b5be0ae8a2d2553383106a846f202834ed46412662f4550956664a5d55056bfbf68cb1e499418400217d33e');
INSERT INTO record VALUES ('account/two', 1, NULL, NULL, NULL, x'ebeb0ce4312abe9433b50245c91264b34e0d342ead018a05eac2aaaf6029f3d5e1b883b4599fdaf2');
PRAGMA application_id = 0x534b4559;
PRAGMA user_version = 1;
