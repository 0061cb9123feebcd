-- Version 2 knows who was active in a week. It is filled beside version 1, and shown
-- once it has taken over: see takeover.sql.

-- +goose Up
CREATE TABLE history_files_v2 (LIKE history_files_v1 INCLUDING ALL);
CREATE TABLE history_authors_v2 (LIKE history_authors_v1 INCLUDING ALL);

CREATE TABLE history_weeks_v2 (
    repository text COLLATE "C" NOT NULL,
    week       date NOT NULL,
    author     text COLLATE "C" NOT NULL,
    commits    bigint NOT NULL,
    PRIMARY KEY (repository, week, author)
);

-- +goose Down
DROP TABLE history_files_v2, history_authors_v2, history_weeks_v2; -- refused while views show them
