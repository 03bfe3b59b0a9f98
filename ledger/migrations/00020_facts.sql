-- +goose Up

-- What was read from texts before: that a later read showed the change, that a removal ended because its person is to be
-- looked at again, and that a grant is one of the reasons.
ALTER TABLE lines ADD COLUMN verified SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE lines ADD COLUMN settling SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE lines ADD COLUMN granted SMALLINT NOT NULL DEFAULT 0;
UPDATE lines SET verified = 1, answer = substr(answer, 1, length(answer) - length('; verified by reading back'))
    WHERE answer LIKE '%; verified by reading back';
UPDATE lines SET settling = 1
    WHERE state = 'superseded' AND answer = 'must stay true for a while: its person is looked at again';
UPDATE lines SET granted = 1 WHERE reasons LIKE '%"kind":"grant"%';

DROP INDEX holdings_by_grant;
ALTER TABLE holdings ADD COLUMN granted SMALLINT NOT NULL DEFAULT 0;
UPDATE holdings SET granted = 1 WHERE reasons LIKE '%"kind":"grant"%';
CREATE INDEX holdings_by_grant ON holdings (org, since) WHERE granted = 1;

-- +goose Down
DROP INDEX holdings_by_grant;
ALTER TABLE holdings DROP COLUMN granted;
CREATE INDEX holdings_by_grant ON holdings (org, since) WHERE reasons LIKE '%"kind":"grant"%';
UPDATE lines SET answer = answer || '; verified by reading back' WHERE verified = 1;
ALTER TABLE lines DROP COLUMN granted;
ALTER TABLE lines DROP COLUMN settling;
ALTER TABLE lines DROP COLUMN verified;
