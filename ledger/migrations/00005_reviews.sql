-- +goose Up

CREATE TABLE reviews (
    org      keytext NOT NULL,
    id       keytext NOT NULL,
    campaign keytext NOT NULL,
    state    TEXT    NOT NULL,
    stage    BIGINT  NOT NULL,
    opened   BIGINT  NOT NULL,
    events   BIGINT  NOT NULL, -- number of the last event
    ranked   BIGINT  NOT NULL, -- 0: its items are being taken; 1: ranked; 2: they have their numbers
    body     TEXT    NOT NULL, -- what has no column of its own
    PRIMARY KEY (org, id)
);
CREATE INDEX reviews_by_time ON reviews (org, opened, id);

CREATE TABLE review_items (
    org     keytext  NOT NULL,
    review  keytext  NOT NULL,
    person  keytext  NOT NULL,
    target  keytext  NOT NULL,
    page    keytext  NOT NULL, -- of the sweep that took it
    n       BIGINT   NOT NULL, -- 0 until the items are numbered
    risk    BIGINT   NOT NULL,
    stage   BIGINT   NOT NULL, -- the last that it came to
    spoke   BIGINT   NOT NULL, -- the last stage in which somebody said something
    version BIGINT   NOT NULL,
    verdict TEXT     NOT NULL,
    outcome TEXT     NOT NULL,
    facts   TEXT     NOT NULL, -- as they were when it was taken
    said    TEXT     NOT NULL,
    result  TEXT     NOT NULL, -- of the outcome
    PRIMARY KEY (org, review, person, target)
);
CREATE INDEX review_items_by_number ON review_items (org, review, n);
CREATE INDEX review_items_by_outcome ON review_items (org, review, outcome, n);

-- What one page of the sweep that takes items counted; a repeat of the page replaces its row.
CREATE TABLE review_pages (
    org    keytext NOT NULL,
    review keytext NOT NULL,
    page   keytext NOT NULL,
    notes  TEXT    NOT NULL,
    PRIMARY KEY (org, review, page)
);

-- Who is asked about what.
CREATE TABLE review_tasks (
    org      keytext NOT NULL,
    review   keytext NOT NULL,
    stage    BIGINT  NOT NULL,
    reviewer keytext NOT NULL, -- address in lower case, or account id
    n        BIGINT  NOT NULL,
    role     TEXT    NOT NULL,
    since    BIGINT  NOT NULL,
    verdict  TEXT    NOT NULL, -- what this reviewer said; '' for nothing
    PRIMARY KEY (org, review, stage, reviewer, n)
);

CREATE TABLE review_events (
    org     keytext NOT NULL,
    review  keytext NOT NULL,
    seq     BIGINT  NOT NULL,
    at      BIGINT  NOT NULL,
    kind    TEXT    NOT NULL,
    by_whom TEXT    NOT NULL,
    via     TEXT    NOT NULL,
    n       BIGINT  NOT NULL,
    stage   BIGINT  NOT NULL,
    verdict TEXT    NOT NULL,
    bulk    BIGINT  NOT NULL,
    to_whom TEXT    NOT NULL,
    body    TEXT    NOT NULL,
    PRIMARY KEY (org, review, seq)
);
CREATE INDEX review_events_by_person ON review_events (by_whom, kind, at);

-- Hashes of the codes that reviewers were sent.
CREATE TABLE review_codes (
    org      keytext NOT NULL,
    review   keytext NOT NULL,
    reviewer keytext NOT NULL,
    hash     keytext NOT NULL,
    at       BIGINT  NOT NULL,
    used     BIGINT  NOT NULL, -- when it was given as it is, and so became known; 0: not yet
    PRIMARY KEY (org, review, reviewer, hash)
);

-- Proofs that counted: each does so once.
CREATE TABLE review_proofs (
    org    keytext NOT NULL,
    review keytext NOT NULL,
    proof  keytext NOT NULL,
    at     BIGINT  NOT NULL,
    PRIMARY KEY (org, review, proof)
);

CREATE TABLE review_links (
    org      keytext NOT NULL,
    id       keytext NOT NULL,
    review   keytext NOT NULL,
    reviewer keytext NOT NULL,
    at       BIGINT  NOT NULL,
    expires  BIGINT  NOT NULL,
    revoked  BIGINT  NOT NULL, -- 0: not
    PRIMARY KEY (org, id)
);
CREATE INDEX review_links_by_review ON review_links (org, review, reviewer);

-- Verdicts while they bear on what people should hold.
CREATE TABLE rulings (
    org     keytext NOT NULL,
    person  keytext NOT NULL,
    target  keytext NOT NULL,
    review  keytext NOT NULL,
    verdict TEXT    NOT NULL,
    at      BIGINT  NOT NULL,
    until   BIGINT  NOT NULL, -- 0: until it is carried out
    PRIMARY KEY (org, person, target, review)
);
CREATE INDEX rulings_by_review ON rulings (org, review);

-- How items of a campaign ended last.
CREATE TABLE review_last (
    org      keytext NOT NULL,
    campaign keytext NOT NULL,
    person   keytext NOT NULL,
    target   keytext NOT NULL,
    review   keytext NOT NULL,
    verdict  TEXT    NOT NULL,
    by_whom  TEXT    NOT NULL, -- '': nobody, by the rule for silence
    at       BIGINT  NOT NULL,
    held     TEXT    NOT NULL, -- the reasons for which it was held
    PRIMARY KEY (org, campaign, person, target)
);

-- The evidence of a review, in pieces of whole lines.
CREATE TABLE review_evidence (
    org    keytext NOT NULL,
    review keytext NOT NULL,
    piece  BIGINT  NOT NULL,
    body   TEXT    NOT NULL,
    PRIMARY KEY (org, review, piece)
);

-- Lines that a guard or a floor stopped, to be found by person.
CREATE INDEX lines_stopped ON lines (org, person) WHERE state IN ('held', 'refused');

-- +goose Down
DROP INDEX lines_stopped;
DROP TABLE review_evidence;
DROP TABLE review_last;
DROP TABLE rulings;
DROP TABLE review_links;
DROP TABLE review_proofs;
DROP TABLE review_codes;
DROP TABLE review_events;
DROP TABLE review_tasks;
DROP TABLE review_pages;
DROP TABLE review_items;
DROP TABLE reviews;
