-- One set of statements for SQLite and PostgreSQL.
--   Instants are microseconds since 1970 in UTC; 0 stands for "not (yet)".
--   Flags are 0 or 1. Lists and objects are JSON in text columns; '' stands for none.
--   keytext is text that compares byte by byte: a domain on PostgreSQL (migration 1), plain text on SQLite.

-- +goose Up
CREATE TABLE organizations (
    org        keytext NOT NULL PRIMARY KEY,
    org_id     TEXT    NOT NULL,
    directory  TEXT    NOT NULL,
    policy     keytext NOT NULL,
    policy_at  BIGINT  NOT NULL,
    adopted_at BIGINT  NOT NULL
);

CREATE TABLE policies (
    org       keytext NOT NULL,
    hash      keytext NOT NULL,
    body      TEXT    NOT NULL,
    source    TEXT    NOT NULL,
    org_id    TEXT    NOT NULL,
    directory TEXT    NOT NULL,
    by_whom   TEXT    NOT NULL,
    at        BIGINT  NOT NULL,
    PRIMARY KEY (org, hash)
);

CREATE TABLE runs (
    org           keytext  NOT NULL,
    id            keytext  NOT NULL,
    started_by    TEXT     NOT NULL,
    scope         TEXT     NOT NULL,
    policy        keytext  NOT NULL,
    by_whom       TEXT     NOT NULL,
    dry_run       SMALLINT NOT NULL,
    preview       SMALLINT NOT NULL,
    state         TEXT     NOT NULL,
    plan          TEXT     NOT NULL,
    started       BIGINT   NOT NULL,
    ended         BIGINT   NOT NULL,
    problem       TEXT     NOT NULL,
    counts        TEXT     NOT NULL,
    findings      TEXT     NOT NULL,
    PRIMARY KEY (org, id)
);
CREATE INDEX runs_by_start ON runs (org, started, id);

CREATE TABLE outlines (
    org    keytext NOT NULL,
    run    keytext NOT NULL,
    policy keytext NOT NULL,
    body   TEXT    NOT NULL,
    at     BIGINT  NOT NULL,
    PRIMARY KEY (org, run)
);

CREATE TABLE people (
    org               keytext NOT NULL,
    id                keytext NOT NULL,
    email             TEXT    NOT NULL,
    email_key         keytext NOT NULL, -- the address in lower case
    name              TEXT    NOT NULL,
    account_type      TEXT    NOT NULL,
    account_status    TEXT    NOT NULL,
    membership_status TEXT    NOT NULL,
    claim_status      TEXT    NOT NULL,
    management_source TEXT    NOT NULL,
    at                BIGINT  NOT NULL, -- when one of these last changed
    PRIMARY KEY (org, id)
);
CREATE INDEX people_by_email ON people (org, email_key);

-- What one page of a sweep adds to its run; a repeat of the page replaces its row.
CREATE TABLE pages (
    org    keytext NOT NULL,
    run    keytext NOT NULL,
    page   keytext NOT NULL,
    seen   TEXT    NOT NULL,
    counts TEXT    NOT NULL,
    PRIMARY KEY (org, run, page)
);

-- Source groups that were read again as a whole: the number here stands instead of the sum over the pages.
CREATE TABLE rereads (
    org      keytext NOT NULL,
    run      keytext NOT NULL,
    group_id keytext NOT NULL,
    users    BIGINT  NOT NULL,
    PRIMARY KEY (org, run, group_id)
);

CREATE TABLE lines (
    org      keytext  NOT NULL,
    run      keytext  NOT NULL,
    person   keytext  NOT NULL,
    target   keytext  NOT NULL,
    rank     SMALLINT NOT NULL, -- order in a listing: 0 add, 1 adopt, 2 remove
    action   TEXT     NOT NULL,
    group_id keytext  NOT NULL,
    email    TEXT     NOT NULL,
    state    TEXT     NOT NULL,
    reasons  TEXT     NOT NULL,
    sources  TEXT     NOT NULL,
    loses    TEXT     NOT NULL,
    held_by  TEXT     NOT NULL,
    answer   TEXT     NOT NULL,
    at       BIGINT   NOT NULL, -- when the state was reached
    attempts BIGINT   NOT NULL, -- how often its write was begun; a line without any may still be planned anew
    PRIMARY KEY (org, run, person, target)
);
CREATE INDEX lines_in_order ON lines (org, run, rank, person, target);
CREATE INDEX lines_written ON lines (org, person, at) WHERE state IN ('sent', 'done', 'already');
CREATE INDEX lines_planned ON lines (org, person) WHERE state = 'planned';
CREATE INDEX lines_removed ON lines (org, at) WHERE state = 'done' AND action = 'remove';

-- Lines that a person rejected: they are not planned again until what asked for them has gone.
CREATE TABLE rejections (
    org      keytext NOT NULL,
    person   keytext NOT NULL,
    target   keytext NOT NULL,
    action   TEXT    NOT NULL,
    group_id keytext NOT NULL,
    email    TEXT    NOT NULL,
    reasons  TEXT    NOT NULL,
    sources  TEXT    NOT NULL,
    loses    TEXT    NOT NULL,
    held_by  TEXT    NOT NULL,
    answer   TEXT    NOT NULL,
    at       BIGINT  NOT NULL,
    PRIMARY KEY (org, person, target, action)
);

-- Who held what over which span of time. At most one open holding per person and target.
CREATE TABLE holdings (
    org      keytext  NOT NULL,
    person   keytext  NOT NULL,
    target   keytext  NOT NULL,
    since    BIGINT   NOT NULL,
    until    BIGINT   NOT NULL, -- 0 while it stands
    group_id keytext  NOT NULL,
    owned    SMALLINT NOT NULL,
    reasons  TEXT     NOT NULL,
    run      keytext  NOT NULL,
    PRIMARY KEY (org, person, target, since)
);
CREATE UNIQUE INDEX holdings_open ON holdings (org, person, target) WHERE until = 0;
CREATE INDEX holdings_foreign ON holdings (org, target, person) WHERE until = 0 AND owned = 0;
CREATE INDEX holdings_by_target ON holdings (org, target, since);

CREATE TABLE holds (
    org      keytext NOT NULL,
    number   BIGINT  NOT NULL, -- 1, 2, 3 … within the organization
    plan     keytext NOT NULL,
    run      keytext NOT NULL,
    adds     BIGINT  NOT NULL,
    removals BIGINT  NOT NULL,
    adopts   BIGINT  NOT NULL,
    people   BIGINT  NOT NULL,
    rules    TEXT    NOT NULL,
    changed  TEXT    NOT NULL,
    opened   BIGINT  NOT NULL,
    decided  BIGINT  NOT NULL,
    decision TEXT    NOT NULL, -- '' while it is open
    by_whom  TEXT    NOT NULL,
    note     TEXT    NOT NULL,
    PRIMARY KEY (org, number)
);
CREATE UNIQUE INDEX holds_open ON holds (org) WHERE decision = '';

CREATE TABLE source_counts (
    org      keytext NOT NULL,
    group_id keytext NOT NULL,
    name     TEXT    NOT NULL,
    users    BIGINT  NOT NULL,
    at       BIGINT  NOT NULL,
    run      keytext NOT NULL,
    PRIMARY KEY (org, group_id)
);

CREATE TABLE known_defaults (
    org    keytext NOT NULL,
    target keytext NOT NULL,
    group_ids TEXT NOT NULL,
    PRIMARY KEY (org, target)
);

-- The hash chain, and its end per organization. The row in heads is also the lock that every write of the organization
-- takes first.
CREATE TABLE heads (
    org  keytext NOT NULL PRIMARY KEY,
    seq  BIGINT  NOT NULL,
    hash TEXT    NOT NULL
);
CREATE TABLE entries (
    org    keytext NOT NULL,
    seq    BIGINT  NOT NULL,
    at     BIGINT  NOT NULL,
    kind   TEXT    NOT NULL,
    run    keytext NOT NULL,
    person keytext NOT NULL,
    target keytext NOT NULL,
    body   TEXT    NOT NULL,
    prev   TEXT    NOT NULL,
    hash   TEXT    NOT NULL,
    PRIMARY KEY (org, seq)
);
CREATE INDEX entries_by_person ON entries (org, person, seq);
CREATE INDEX entries_by_target ON entries (org, target, seq);
CREATE INDEX entries_by_time ON entries (org, at);

-- +goose Down
DROP TABLE entries;
DROP TABLE heads;
DROP TABLE known_defaults;
DROP TABLE source_counts;
DROP TABLE holds;
DROP TABLE holdings;
DROP TABLE rejections;
DROP TABLE lines;
DROP TABLE rereads;
DROP TABLE pages;
DROP TABLE people;
DROP TABLE outlines;
DROP TABLE runs;
DROP TABLE policies;
DROP TABLE organizations;
