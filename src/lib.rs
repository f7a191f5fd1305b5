//! PicoBot: a personal AI assistant runtime for small machines.

pub mod agent;
pub mod bus;
pub mod channels;
pub mod chat;
pub mod cli;
pub mod config;
pub mod gateway;
pub mod observability;
pub mod platform;
pub mod providers;
pub mod sandbox;
pub mod session;
pub mod storage;
pub mod threads;
pub mod tools;
pub mod wire;
