//! PicoBot: a personal AI assistant runtime for small machines.

pub mod bus;
pub mod chat;
pub mod config;
pub mod observability;
pub mod providers;
pub mod sandbox;
pub mod threads;
pub mod tools;
