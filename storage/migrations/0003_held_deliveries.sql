-- A record on a channel's topic may take a row before its due time, but never one that a provider worker holds: a claim
-- or a retry sets `held`, and from then on `due_at` alone decides.
alter table deliveries add column held boolean not null default false;
