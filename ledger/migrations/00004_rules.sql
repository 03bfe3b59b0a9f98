-- +goose Up

-- How long the conditions of rules have held for people without a break, and when whom a rule names was told.
CREATE TABLE marks (
    org    keytext NOT NULL,
    person keytext NOT NULL,
    rule   keytext NOT NULL, -- the rule's key
    since  BIGINT  NOT NULL,
    told   BIGINT  NOT NULL, -- 0: not yet
    PRIMARY KEY (org, person, rule)
);
CREATE INDEX marks_by_since ON marks (org, rule, since, person);
CREATE INDEX marks_by_told ON marks (org, rule, told, person);

-- People whom Castellan suspended and who are suspended still.
CREATE TABLE suspensions (
    org     keytext NOT NULL,
    person  keytext NOT NULL,
    since   BIGINT  NOT NULL,
    run     keytext NOT NULL,
    reasons TEXT    NOT NULL,
    PRIMARY KEY (org, person)
);

-- What is known of the policy's rules, by their keys.
CREATE TABLE rules (
    org      keytext NOT NULL,
    rule     keytext NOT NULL,
    name     TEXT    NOT NULL,
    seen     TEXT    NOT NULL, -- hash of what it was last shown to do while it only observed
    lines    BIGINT  NOT NULL, -- how many changes that was
    seen_at  BIGINT  NOT NULL,
    seen_run keytext NOT NULL,
    released BIGINT  NOT NULL, -- when its changes were consented to; 0: not yet
    by_whom  TEXT    NOT NULL,
    PRIMARY KEY (org, rule)
);

-- When people used which app, as asked one by one: that call is scarce.
CREATE TABLE activity (
    org    keytext  NOT NULL,
    person keytext  NOT NULL,
    at     BIGINT   NOT NULL, -- when it was read
    silent SMALLINT NOT NULL, -- it left out apps that the person has access to, and was the first to do so
    body   TEXT     NOT NULL,
    PRIMARY KEY (org, person)
);

-- Reports that were made, with all that they found.
CREATE TABLE reports (
    org  keytext NOT NULL,
    kind keytext NOT NULL,
    id   keytext NOT NULL,
    at   BIGINT  NOT NULL,
    body TEXT    NOT NULL,
    PRIMARY KEY (org, kind, id)
);

-- What a report that is being made has found so far; a repeat of a step replaces its rows.
CREATE TABLE report_rows (
    org      keytext NOT NULL,
    report   keytext NOT NULL,
    section  keytext NOT NULL,
    identity keytext NOT NULL,
    cells    TEXT    NOT NULL,
    PRIMARY KEY (org, report, section, identity)
);

-- What a page counts beyond its people and changes.
ALTER TABLE pages ADD COLUMN notes TEXT NOT NULL DEFAULT '';

-- The verified e-mail domains of the organization at the last good run.
ALTER TABLE organizations ADD COLUMN domains TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE organizations DROP COLUMN domains;
ALTER TABLE pages DROP COLUMN notes;
DROP TABLE report_rows;
DROP TABLE reports;
DROP TABLE activity;
DROP TABLE rules;
DROP TABLE suspensions;
DROP TABLE marks;
