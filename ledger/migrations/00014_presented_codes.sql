-- +goose Up

-- By which presentation a code was burnt: the decision that it came with may count by it, once.
ALTER TABLE grant_codes ADD COLUMN presentation TEXT NOT NULL DEFAULT '';
ALTER TABLE review_codes ADD COLUMN presentation TEXT NOT NULL DEFAULT '';

-- How often somebody's codes for a request or a review were burnt since a wrong one was given for them.
CREATE TABLE wrong_codes (
    org     keytext NOT NULL,
    kind    keytext NOT NULL, -- grant or review
    subject keytext NOT NULL,
    person  keytext NOT NULL,
    n       BIGINT  NOT NULL,
    PRIMARY KEY (org, kind, subject, person)
);

-- +goose Down
DROP TABLE wrong_codes;
ALTER TABLE review_codes DROP COLUMN presentation;
ALTER TABLE grant_codes DROP COLUMN presentation;
