-- What goes for all notifications of a category that do not say otherwise themselves.
create table categories (
  tenant text collate "C" not null,
  id text collate "C" not null,
  -- carillon.v1.Category
  payload bytea not null,
  updated_at timestamptz not null default now(),
  primary key (tenant, id)
);
