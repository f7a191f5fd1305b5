//! PicoBot: a personal AI assistant runtime for small machines.

pub mod bus;
pub mod chat;
pub mod config;
pub mod gateway;
pub mod observability;
pub mod providers;
pub mod threads;
pub mod tools;
