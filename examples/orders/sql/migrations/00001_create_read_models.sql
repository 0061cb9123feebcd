-- What the projections write. The events are not here: package migrations makes their tables.

-- +goose Up
CREATE TABLE orders (
    id          text COLLATE "C" PRIMARY KEY,
    wallet_id   text COLLATE "C" NOT NULL,
    state       text NOT NULL,
    reason      text NOT NULL DEFAULT '', -- why it was rejected
    lines       jsonb NOT NULL,
    total       bigint NOT NULL, -- in cents
    version     integer NOT NULL, -- of the order
    placed_id   text COLLATE "C" NOT NULL, -- the sequence ID of its first event
    sequence_id text COLLATE "C" NOT NULL, -- and of its last
    placed_at   timestamptz NOT NULL
);

CREATE INDEX orders_placed_id ON orders (placed_id);

-- Double entry: each event that moves money has two entries, whose sum is 0.
CREATE TABLE ledger (
    sequence_id text COLLATE "C" NOT NULL,
    account     text COLLATE "C" NOT NULL, -- bank, sales, or wallet: and the wallet's ID
    amount      bigint NOT NULL, -- in cents
    PRIMARY KEY (sequence_id, account)
);

CREATE INDEX ledger_account ON ledger (account) INCLUDE (amount);

-- +goose Down
DROP TABLE orders, ledger;
