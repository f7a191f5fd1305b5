//! PicoBot: a personal AI assistant runtime for small machines.
//!
//! One process of named threads joined by bounded queues, one SQLite file, no async runtime. `ARCHITECTURE.md` has the
//! picture, the thread table and a turn from socket to socket. Modules import downwards only:
//!
//! ```text
//! 5 compose    gateway  cli  client
//! 4 actors     session  channels
//! 3 turn       agent
//! 2 abilities  tools
//! 1 resources  storage  providers  bus  sandbox  media  net
//! 0 words      chat  wire  config  observability  threads  platform
//! ```

pub mod agent;
pub mod bus;
pub mod channels;
pub mod chat;
pub mod cli;
pub mod client;
pub mod config;
pub mod gateway;
pub mod media;
pub mod net;
pub mod observability;
pub mod platform;
pub mod providers;
pub mod sandbox;
pub mod session;
pub mod storage;
pub mod threads;
pub mod tools;
pub mod wire;
