//! The composition root: builds, starts and stops a process. `door` owns the port and every socket.

mod build;
pub mod door;
mod feishu;
mod offer;
mod one_shot;
mod run;

pub use build::Launch;
pub use feishu::codes as feishu_codes;
pub use one_shot::OneShot;
pub use run::{prepare, run};
