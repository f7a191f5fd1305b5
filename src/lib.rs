//! PicoBot: a personal AI assistant runtime for small machines.

pub mod bus;
pub mod channels;
pub mod chat;
pub mod config;
pub mod observability;
pub mod providers;
pub mod threads;
pub mod tools;
pub mod wire;
