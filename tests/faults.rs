//! What can go wrong around a run: killed processes, full disks, damaged files, bad data, training
//! that diverges. Nothing is lost or overwritten in silence, and every message says what to do.

mod damage;
mod data;
mod going_on;
mod going_on_apart;
mod kills;
mod limits;
mod many_runs;
mod stores;
mod users;
