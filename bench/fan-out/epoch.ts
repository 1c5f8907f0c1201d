// The store that the benchmark's cursors are of: there is none, so it has the simplest name.
export const EPOCH = '00000000';
