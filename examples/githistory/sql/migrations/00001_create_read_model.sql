-- The read model, version 1. Who wants to know something asks the views: they show
-- the tables of the version that is active.

-- +goose Up
CREATE TABLE history_files_v1 (
    id         text COLLATE "C" PRIMARY KEY, -- the file's aggregate: a path may be too long for an index
    repository text COLLATE "C" NOT NULL,
    path       text COLLATE "C" NOT NULL,
    mode       text NOT NULL,
    blob       text NOT NULL,
    changes    bigint NOT NULL, -- since it was last added
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL
);

CREATE TABLE history_authors_v1 (
    repository   text COLLATE "C" NOT NULL,
    author       text COLLATE "C" NOT NULL,
    commits      bigint NOT NULL,
    changes      bigint NOT NULL, -- of files
    first_commit timestamptz, -- NULL where git cannot tell
    last_commit  timestamptz,
    PRIMARY KEY (repository, author)
);

CREATE TABLE history_weeks_v1 (
    repository text COLLATE "C" NOT NULL,
    week       date NOT NULL, -- its Monday
    commits    bigint NOT NULL,
    PRIMARY KEY (repository, week)
);

CREATE VIEW history_files AS SELECT * FROM history_files_v1;
CREATE VIEW history_authors AS SELECT * FROM history_authors_v1;
CREATE VIEW history_weeks AS SELECT repository, week, commits FROM history_weeks_v1;
CREATE VIEW history_version AS SELECT 1 AS version;

-- +goose Down
DROP VIEW history_files, history_authors, history_weeks, history_version;
DROP TABLE IF EXISTS history_files_v1, history_authors_v1, history_weeks_v1;
