//! The composition root: builds, starts and stops a process. `door` owns the port and every socket.

mod build;
pub mod door;
mod offer;
mod one_shot;
mod private;
mod protection;
mod run;

pub use build::Launch;
pub use one_shot::OneShot;
pub use run::{prepare, run};
