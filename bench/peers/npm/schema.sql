CREATE TABLE accounts (id integer PRIMARY KEY, credit_limit bigint NOT NULL, balance bigint NOT NULL);
CREATE TABLE entries (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account integer NOT NULL,
  value bigint NOT NULL,
  kind char(1) NOT NULL,
  note varchar(10) NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX entries_newest ON entries (account, id DESC);
INSERT INTO accounts VALUES (1, 100000, 0), (2, 80000, 0), (3, 1000000, 0), (4, 10000000, 0), (5, 500000, 0);
