//! The composition root: builds, starts and stops a process. `door` owns the port and every socket.

mod build;
mod check;
mod courier;
pub mod door;
mod feishu;
mod offer;
mod one_database;
mod one_shot;
mod outbox;
mod private;
mod prompt_size;
mod protection;
mod run;
mod upkeep;

pub use build::{Launch, backups};
pub use feishu::{codes as feishu_codes, trust as feishu_trust};
pub use one_database::{OneDatabase, database_to_read, one_database};
pub use one_shot::OneShot;
pub use prompt_size::{PromptPart, prompt_parts};
pub use run::{prepare, run};
