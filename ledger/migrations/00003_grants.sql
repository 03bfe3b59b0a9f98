-- One set of statements for SQLite and PostgreSQL; how values are kept stands in migration 2.

-- +goose Up
CREATE TABLE grants (
    org        keytext  NOT NULL,
    id         keytext  NOT NULL,
    person     keytext  NOT NULL, -- account id; the address in lower case while the directory does not show the person
    email      TEXT     NOT NULL,
    email_key  keytext  NOT NULL, -- the address in lower case
    target     keytext  NOT NULL,
    target_key keytext  NOT NULL, -- the target in lower case
    person_key keytext  NOT NULL, -- names the person in the grant's workflow
    state      TEXT     NOT NULL,
    settled    SMALLINT NOT NULL, -- nothing is left to do about it
    requested  BIGINT   NOT NULL,
    since      BIGINT   NOT NULL,
    until      BIGINT   NOT NULL,
    taken      BIGINT   NOT NULL,
    body       TEXT     NOT NULL, -- what has no column of its own
    PRIMARY KEY (org, id)
);
CREATE INDEX grants_by_time ON grants (org, requested, id);
CREATE INDEX grants_by_person ON grants (org, person, target_key);
CREATE INDEX grants_by_address ON grants (org, email_key, target_key);
CREATE INDEX grants_standing ON grants (org, person, until) WHERE settled = 0;
CREATE INDEX grants_unsettled ON grants (org, requested, id) WHERE settled = 0;
CREATE INDEX grants_of_workflow ON grants (org, target_key, person_key, requested, id) WHERE settled = 0;
CREATE INDEX grants_ending ON grants (org, until, id) WHERE settled = 0;

-- One-time codes that were sent to approvers, as hashes.
CREATE TABLE grant_codes (
    org      keytext NOT NULL,
    grant_id keytext NOT NULL,
    approver keytext NOT NULL, -- in lower case
    hash     keytext NOT NULL,
    at       BIGINT  NOT NULL,
    used     BIGINT  NOT NULL,
    PRIMARY KEY (org, grant_id, approver, hash)
);

-- Whether the line takes back what grants alone gave.
ALTER TABLE lines ADD COLUMN lapse SMALLINT NOT NULL DEFAULT 0;

-- Lines of people whose account id is not known yet: an account id has no @.
CREATE INDEX lines_by_address ON lines (org, person) WHERE person LIKE '%@%';

-- Holdings that a grant is a reason of, as the ledger writes reasons.
CREATE INDEX holdings_by_grant ON holdings (org, since) WHERE reasons LIKE '%"kind":"grant"%';

-- +goose Down
DROP INDEX holdings_by_grant;
DROP INDEX lines_by_address;
ALTER TABLE lines DROP COLUMN lapse;
DROP TABLE grant_codes;
DROP TABLE grants;
