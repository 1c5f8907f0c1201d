-- A push that went out is taken back from the devices once a client has what it was about. As with `due_at`: a row that is to be
-- cleared says when it must be looked at next, and whoever takes it moves that time and counts the try in one statement.
alter table deliveries add column clear_due_at timestamptz, add column clear_tries smallint not null default 0;
create index deliveries_clear on deliveries (lane, clear_due_at) where clear_due_at is not null;

-- What came of it, per call: cleared | refused | gone | unsupported | failed; empty: nothing was to be cleared, or not yet.
alter table delivery_attempts add column clear_outcome text not null default '', add column clear_error text not null default '',
  add column cleared_at timestamptz;

alter table sandbox_messages add column cleared_at timestamptz;
