-- +goose Up

-- What kind of problem stopped a run. It stood before its message, with a colon between.
ALTER TABLE runs ADD COLUMN problem_kind TEXT NOT NULL DEFAULT '';
UPDATE runs SET
    problem_kind = substr(problem, 1, length(problem)
        - length(ltrim(problem, 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.*'))),
    problem = substr(ltrim(problem, 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.*'), 3)
    WHERE ltrim(problem, 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.*') LIKE ': %';

-- +goose Down
UPDATE runs SET problem = problem_kind || ': ' || problem WHERE problem_kind <> '';
ALTER TABLE runs DROP COLUMN problem_kind;
