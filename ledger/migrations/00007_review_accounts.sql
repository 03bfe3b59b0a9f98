-- +goose Up

-- When verdicts end.
CREATE INDEX rulings_by_end ON rulings (org, until);

-- Who the names that a review goes by stand for: those of its campaign, and of a review from before reviewers were accounts the
-- addresses that stand in its log.
CREATE TABLE review_names (
    org     keytext NOT NULL,
    review  keytext NOT NULL,
    written keytext NOT NULL, -- an address in the form in which they compare
    account keytext NOT NULL,
    PRIMARY KEY (org, review, written)
);
CREATE INDEX review_names_by_account ON review_names (org, review, account);

-- Addresses beside account ids, as they were then: to be read, never compared.
ALTER TABLE review_events ADD COLUMN by_email TEXT NOT NULL DEFAULT '';
ALTER TABLE review_events ADD COLUMN to_email TEXT NOT NULL DEFAULT '';
ALTER TABLE review_last ADD COLUMN by_email TEXT NOT NULL DEFAULT '';

-- Reviewers of reviews under way become accounts, where just one account is known by the address.
INSERT INTO review_names (org, review, written, account)
SELECT DISTINCT named.org, named.review, named.written, people.id
FROM (
    SELECT org, review, reviewer AS written FROM review_tasks
    UNION SELECT org, review, reviewer FROM review_links
    UNION SELECT org, review, reviewer FROM review_codes
    UNION SELECT org, review, by_whom FROM review_events WHERE kind IN ('decided', 'commented', 'delegated', 'reopened', 'seen')
    UNION SELECT org, review, to_whom FROM review_events WHERE kind IN ('reminded', 'delegated')
) AS named
JOIN reviews ON reviews.org = named.org AND reviews.id = named.review AND reviews.state IN ('opening', 'open', 'closing')
JOIN people ON people.org = named.org AND people.email_key = named.written
WHERE named.written LIKE '%@%'
AND (SELECT COUNT(*) FROM people AS others WHERE others.org = people.org AND others.email_key = people.email_key) = 1;

-- Of two tasks of one person about one item, the one by account id stays, unless only the other was answered.
DELETE FROM review_tasks WHERE verdict = '' AND EXISTS (
    SELECT 1 FROM review_names JOIN review_tasks AS other ON other.org = review_names.org AND other.review = review_names.review AND other.reviewer = review_names.written
    WHERE review_names.org = review_tasks.org AND review_names.review = review_tasks.review AND review_names.account = review_tasks.reviewer
    AND other.stage = review_tasks.stage AND other.n = review_tasks.n AND other.verdict <> '');
DELETE FROM review_tasks WHERE EXISTS (
    SELECT 1 FROM review_names JOIN review_tasks AS other ON other.org = review_names.org AND other.review = review_names.review AND other.reviewer = review_names.account
    WHERE review_names.org = review_tasks.org AND review_names.review = review_tasks.review AND review_names.written = review_tasks.reviewer
    AND other.stage = review_tasks.stage AND other.n = review_tasks.n);
UPDATE review_tasks SET reviewer = (SELECT account FROM review_names WHERE review_names.org = review_tasks.org
    AND review_names.review = review_tasks.review AND review_names.written = review_tasks.reviewer)
WHERE EXISTS (SELECT 1 FROM review_names WHERE review_names.org = review_tasks.org
    AND review_names.review = review_tasks.review AND review_names.written = review_tasks.reviewer);
UPDATE review_links SET reviewer = (SELECT account FROM review_names WHERE review_names.org = review_links.org
    AND review_names.review = review_links.review AND review_names.written = review_links.reviewer)
WHERE EXISTS (SELECT 1 FROM review_names WHERE review_names.org = review_links.org
    AND review_names.review = review_links.review AND review_names.written = review_links.reviewer);
UPDATE review_codes SET reviewer = (SELECT account FROM review_names WHERE review_names.org = review_codes.org
    AND review_names.review = review_codes.review AND review_names.written = review_codes.reviewer)
WHERE EXISTS (SELECT 1 FROM review_names WHERE review_names.org = review_codes.org
    AND review_names.review = review_codes.review AND review_names.written = review_codes.reviewer);

-- +goose Down
DROP INDEX rulings_by_end;
DROP TABLE review_names;
ALTER TABLE review_events DROP COLUMN by_email;
ALTER TABLE review_events DROP COLUMN to_email;
ALTER TABLE review_last DROP COLUMN by_email;
