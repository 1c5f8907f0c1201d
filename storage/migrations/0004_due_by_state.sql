-- A backlog of rows in one state must not be walked over by those who look for another: with 100,000 mails queued and due,
-- each look for interrupted calls read all of them.
create index deliveries_due_by_state on deliveries (step_channel, lane, state, due_at) where due_at is not null;
drop index deliveries_due;
